"""Export a model for other programs: ONNX, or a .pt2 file of torch.export.

A segmentor is exported as a whole (logits), as is a recognizer
(probabilities), and of a detector the backbone and the neck. --backbone
exports the maps of the backbone alone.

The file takes pixels from 0 to 255 and normalises them. It is compared with
PyTorch before it gets its name.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from swin_dense.deploy.export import check_path, export_part
from swin_dense.deploy.parts import choose_part
from swin_dense.engine import cli
from swin_dense.engine.launch import find_checkpoint, load_config
from swin_dense.engine.tasks import VIDEO, task_of
from swin_dense.ops.grid import format_size, round_up

SIDE = 512  # where a config names no size
DIVISOR = 32


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__,
        'swin-dense export upernet_swin_b_ade20k weights.pth --out model.onnx',
    )
    cli.add_config_argument(parser)
    parser.add_argument('checkpoint', help='path or address of the weights')
    parser.add_argument(
        '--out',
        required=True,
        type=Path,
        metavar='FILE',
        help='file to write: NAME.onnx or NAME.pt2',
    )
    parser.add_argument(
        '--size',
        nargs='+',
        type=int,
        metavar='PIXELS',
        help='height and width of inputs, or their side (default: those of '
        "the config's crops or test images)",
    )
    parser.add_argument(
        '--backbone',
        action='store_true',
        help='export the maps of the backbone alone',
    )
    cli.add_config_arguments(parser)
    return parser


def export(args: argparse.Namespace) -> int:
    """Export, compare, and print what the file takes and returns.

    Raises:
        ValueError: If an option is out of range, or the model cannot be
            exported.
    """
    check_path(args.out)
    config = load_config(args.config, args.cfg_options)
    task = task_of(config)
    predictor = task.load('predictor')(
        config, find_checkpoint(args.checkpoint), device='cpu'
    )
    part = choose_part(predictor.model, task, args.backbone)
    shape: tuple[int, ...] = (1, 3)
    default = find_size(config)
    if task is VIDEO:
        frames = [np.zeros((96, 128, 3), np.uint8)]
        data = predictor.prepare(frames * predictor.sampling.clip_len)
        shape = (1, 3, data['inputs'].shape[2])
        default = tuple(data['inputs'].shape[-2:])
    shape += read_size(args.size) or default
    print(f'exporting {part.description}')
    comparison, outputs = export_part(
        part.eval(), args.out, shape, predictor.classes
    )
    print(
        f'input pixels: {format_size(shape)}, float32, {part.channels}, 0 to '
        '255'
    )
    for name, shape in outputs.items():
        print(f'output {name}: {format_size(shape)}')
    if comparison is None:
        print(
            'not compared with PyTorch, since onnxruntime is not installed: '
            'pip install onnxruntime'
        )
    else:
        print(
            f'largest difference from PyTorch ({comparison.program}): '
            f'{comparison.difference:.2g}, of values up to '
            f'{comparison.largest:.3g}'
        )
    print(f'{args.out}: {args.out.stat().st_size / 2**20:.1f} MB')
    return 0


def read_size(sides: Sequence[int] | None) -> tuple[int, int] | None:
    """Return height and width of `--size`; None without it.

    Raises:
        ValueError: If there are other than one or two, or one is too small.
    """
    if sides is None:
        return None
    if len(sides) > 2 or min(sides) < DIVISOR:
        raise ValueError(
            f'--size must be a height and a width of {DIVISOR} pixels or '
            f'more, or one side, got {" ".join(map(str, sides))}'
        )
    return sides[0], sides[-1]


def find_size(config: Any) -> tuple[int, int]:
    """Return height and width of the crops or test images of a config."""
    preprocessor = config.model.get('data_preprocessor') or {}
    if preprocessor.get('size'):
        height, width = preprocessor['size']
        return int(height), int(width)
    dataset = config.test_dataloader.dataset
    for step in dataset.get('pipeline') or ():
        scale = step.get('scale')
        if isinstance(scale, (tuple, list)) and len(scale) == 2:
            divisor = preprocessor.get('pad_size_divisor') or DIVISOR
            short, long = (round_up(int(n), divisor) for n in sorted(scale))
            return short, long
    return SIDE, SIDE


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(export, make_parser().parse_args(argv))
