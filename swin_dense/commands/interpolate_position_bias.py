"""Resize the position biases of a checkpoint to another window.

SRC is a checkpoint of a backbone, a classifier, a detector, a segmentor or a
recognizer, in any known layout; DST has the same layout. The bias tables of
Swin V1 and Video Swin are resized. Swin V2 computes its biases by a network,
which stays as it is: DST records the window of the pre-training, by which the
model divides its offsets.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import cv2

from swin_dense.analysis.bias_maps import head_maps
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.download import sha256
from swin_dense.checkpoints.files.read import local_file, read_checkpoint
from swin_dense.checkpoints.files.write import (
    check_destination,
    write_checkpoint,
)
from swin_dense.checkpoints.interpolation import METHODS
from swin_dense.checkpoints.resize import Resized, resize_checkpoint
from swin_dense.engine import cli
from swin_dense.ops.grid import format_size
from swin_dense.version import __version__
from swin_dense.visualization.position_bias import draw_position_bias


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__,
        'swin-dense resize '
        'swin_tiny_patch4_window7_224.pth swin_tiny_window12.pth --window 12 '
        '--plot bias.png',
    )
    parser.add_argument(
        'src', metavar='SRC', help='path or address of a checkpoint'
    )
    parser.add_argument(
        'dst',
        metavar='DST',
        help='new checkpoint; the suffix sets the format: .safetensors or '
        '.pth',
    )
    parser.add_argument(
        '--window',
        type=int,
        nargs='+',
        required=True,
        metavar='TOKENS',
        help='new window: one number, or height and width; for clips, time, '
        'height and width',
    )
    parser.add_argument(
        '--method',
        choices=list(METHODS),
        default='bicubic',
        help='bicubic: as in the official code (default); geometric: at '
        'positions in geometric progression, as in BEiT and SimMIM',
    )
    parser.add_argument(
        '--from-window',
        type=int,
        nargs='+',
        metavar='TOKENS',
        help='window of SRC, needed if the checkpoint does not contain it',
    )
    parser.add_argument(
        '--image-size',
        type=int,
        nargs='+',
        metavar='PIXELS',
        help='image size for DST, one number or height and width: an absolute '
        'position embedding is resized to it, and a window that is larger '
        'than the last feature map is an error',
    )
    cli.add_prefix_argument(parser)
    parser.add_argument(
        '--plot',
        metavar='FILE.png',
        help='also draw the biases of some heads before and after',
    )
    parser.add_argument(
        '--heads',
        nargs='+',
        metavar='STAGE.BLOCK.HEAD',
        help='heads to draw, counted from 0 (default: in the first block of '
        'each stage, the head with the largest range of biases)',
    )
    parser.add_argument(
        '--force', action='store_true', help='replace DST if it exists'
    )
    cli.add_debug_argument(parser)
    return parser


def interpolate(args: argparse.Namespace) -> int:
    """Resize, print a table, write the checkpoint, and draw it.

    Raises:
        CheckpointError: If SRC cannot be resized; the message says why.
    """
    start = time.perf_counter()
    source = local_file(args.src)
    target = check_destination(args.dst, args.force, source)
    checkpoint = read_checkpoint(source, mmap=True)
    try:
        resized = resize_checkpoint(
            checkpoint,
            args.window,
            method=args.method,
            source_window=args.from_window,
            image_size=args.image_size,
            prefix=args.prefix,
            label=args.src,
        )
        maps = head_maps(resized, args.heads) if args.plot else []
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f'{args.src}: {error}') from error
    print(f'{args.src}: {resized.source.recognised}')
    print(format_table(resized))
    metadata = {
        **resized.metadata,
        'tool': f'interpolate_position_bias {__version__}',
        'source': Path(args.src).name,
        'source_sha256': sha256(source),
    }
    write_checkpoint(target, resized.checkpoint, metadata, args.force)
    print(
        f'{target}: {target.stat().st_size / 1e6:.1f} MB, sha256 '
        f'{sha256(target)}'
    )
    if args.plot:
        before = _format_windows(resized.metadata['from_windows'])
        after = format_size(resized.metadata['window'])
        labels = f'before: window {before}', f'after: window {after}'
        picture = draw_position_bias(
            maps,
            f'{Path(args.src).name}: position bias, '
            f'{resized.metadata["method"]}',
            labels,
        )
        png = cv2.imencode('.png', picture)[1].tobytes()
        cli.write_bytes(args.plot, png)
        print(f'{args.plot}: {len(maps)} heads before and after')
    print(f'{time.perf_counter() - start:.1f} s')
    return 0


def format_table(resized: Resized) -> str:
    """Return a table of the tensors that depend on window or image size."""
    lines = [('name', 'heads', 'from', 'to')]
    for row in resized.rows:
        heads = str(row.heads or '-')
        lines.append(
            (row.name, heads, format_size(row.before), format_size(row.after))
        )
    widths = [max(map(len, column)) for column in zip(*lines)]
    text = '\n'.join(
        '  '.join(
            [
                line[0].ljust(widths[0]),
                *(
                    cell.rjust(width)
                    for cell, width in zip(line[1:], widths[1:])
                ),
            ]
        )
        for line in lines
    )
    count = sum(row.before != row.after for row in resized.rows)
    text += (
        f'\n{count} of {len(resized.rows)} tensors change, '
        f'{_describe_method(resized)}'
    )
    if resized.left_out:
        names = ', '.join(resized.left_out[:3])
        more = ', ...' if len(resized.left_out) > 3 else ''
        text += (
            f'\n{len(resized.left_out)} tensors that no longer fit are left '
            f'out ({names}{more})'
        )
    return text


def _describe_method(resized: Resized) -> str:
    sizes = resized.metadata.get('pretrained_window_sizes')
    if sizes is None:
        return resized.metadata['method']
    return f'log-MLP with pretrained_window_sizes {_format_windows(sizes)}'


def _format_windows(windows: Sequence[Sequence[int]]) -> str:
    return ', '.join(map(format_size, windows))


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(interpolate, make_parser().parse_args(argv))
