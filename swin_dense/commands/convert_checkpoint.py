"""Rename the weights of a checkpoint for another implementation.

SRC is a checkpoint of a backbone, a classifier, a detector, a segmentor or a
recognizer. Shapes do not change; `swin-dense resize` changes the window.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from swin_dense.checkpoints.convert import convert_checkpoint, format_lists
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.download import sha256
from swin_dense.checkpoints.files.read import local_file, read_checkpoint
from swin_dense.checkpoints.files.write import (
    check_destination,
    write_checkpoint,
)
from swin_dense.checkpoints.layouts.export import TARGETS
from swin_dense.checkpoints.layouts.translate import describe_choice
from swin_dense.engine import cli
from swin_dense.version import __version__


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__,
        'swin-dense convert '
        'swin_tiny_patch4_window7_224.pth swin_tiny.safetensors --to timm',
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
        '--to', required=True, choices=TARGETS, help='implementation for DST'
    )
    parser.add_argument(
        '--forgive',
        nargs='+',
        default=[],
        metavar='PATTERN',
        help='official parameter names that may be missing or unexpected, '
        "such as 'layers.3.*'; unexpected parameters are not written",
    )
    parser.add_argument(
        '--allow-nonfinite',
        nargs='+',
        default=[],
        metavar='PATTERN',
        help='official parameter names that may hold NaN or infinity',
    )
    parser.add_argument(
        '--weights',
        metavar='KEY',
        help='key of the weights in SRC, such as state_dict_ema for averaged '
        'weights (default: state_dict, or model)',
    )
    cli.add_prefix_argument(parser)
    parser.add_argument('--dry-run', action='store_true', help='write nothing')
    parser.add_argument(
        '--force', action='store_true', help='replace DST if it exists'
    )
    parser.add_argument(
        '--verbose', action='store_true', help='list all parameter names'
    )
    cli.add_debug_argument(parser)
    return parser


def convert(args: argparse.Namespace) -> int:
    """Convert, print lists of parameter names, and write the checkpoint.

    Raises:
        CheckpointError: If SRC cannot be converted; the message says why.
    """
    start = time.perf_counter()
    source = local_file(args.src)
    target = check_destination(args.dst, args.force or args.dry_run, source)
    checkpoint = read_checkpoint(source, mmap=True)
    if not args.weights and describe_choice(checkpoint):
        print(f'{args.src}: {describe_choice(checkpoint)}')
    try:
        result = convert_checkpoint(
            checkpoint,
            args.to,
            label=args.src,
            forgive=args.forgive,
            allow_nonfinite=args.allow_nonfinite,
            weights=args.weights,
            prefix=args.prefix,
        )
    except CheckpointError as error:
        if error.report:
            print(format_lists(error.report, args.verbose))
        raise
    print(f'{args.src}: {result.report.source_format}, {result.arch}')
    print(format_lists(result.report, args.verbose))
    if args.dry_run:
        print(f'{target}: not written (--dry-run)')
        return 0
    metadata = {
        **result.metadata,
        'tool': f'convert_checkpoint {__version__}',
        'source': Path(args.src).name,
        'source_sha256': sha256(source),
        'source_format': result.report.source_format,
        'target': args.to,
    }
    write_checkpoint(target, result.checkpoint, metadata, args.force)
    size = target.stat().st_size
    print(
        f'{target}: {len(result.weights)} tensors for {args.to}, '
        f'{size / 1e6:.1f} MB, sha256 {sha256(target)}\n'
        f'{_format_cost(start, source.stat().st_size)}'
    )
    return 0


def _format_cost(start: float, size: int) -> str:
    """Return the time since `start` in seconds, and the peak memory.

    Args:
        start: Value of `time.perf_counter`.
        size: Size of SRC in bytes; the memory is also given in its multiples.
    """
    text = f'{time.perf_counter() - start:.1f} s'
    try:
        import resource
    except ImportError:  # Windows
        return text
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == 'darwin' else 1024
    return f'{text}, peak memory {peak / 1e6:.0f} MB ({peak / size:.2f} x SRC)'


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(convert, make_parser().parse_args(argv))
