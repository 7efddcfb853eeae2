"""Measure time and memory of a backbone or model, beside another package's.

The other package is mmdet for images, mmaction2 for clips, and with --v2
mmpretrain or transformers.
"""

import argparse
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from swin_dense.analysis.benchmark import BenchmarkCase, format_rows, measure
from swin_dense.analysis.step_parts import time_step
from swin_dense.engine import cli
from swin_dense.engine.launch import config_path
from swin_dense.ops.grid import format_size


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__, 'swin-dense benchmark --arch tiny --shape 800 1333'
    )
    parser.add_argument(
        'config',
        nargs='?',
        help='config file or name: measure this whole detector, with the '
        "backbone of this package and with mmdet's (default: a backbone)",
    )
    defaults = BenchmarkCase()
    parser.add_argument(
        '--arch',
        default=defaults.arch,
        choices=['tiny', 'small', 'base', 'large'],
        help='size of the backbone (default: tiny)',
    )
    parser.add_argument(
        '--window',
        type=int,
        default=defaults.window,
        metavar='TOKENS',
        help='side of an attention window (default: %(default)s)',
    )
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        default=defaults.shape,
        metavar=('HEIGHT', 'WIDTH'),
        help='size of the input in pixels (default: 800 1333)',
    )
    parser.add_argument(
        '--frames',
        type=int,
        metavar='N',
        help="measure Video Swin beside mmaction2's, on clips of N frames",
    )
    parser.add_argument(
        '--v2',
        choices=['mmpretrain', 'transformers'],
        help='measure Swin V2 beside the implementation in this package',
    )
    parser.add_argument(
        '--with-cp',
        action='store_true',
        help='recompute activations in the backward pass (Swin V2 of this '
        'package)',
    )
    parser.add_argument(
        '--sequential',
        action='store_true',
        help='compute attention on a few windows at a time (Swin V2 of this '
        'package)',
    )
    parser.add_argument(
        '--batch',
        type=int,
        default=defaults.batch,
        metavar='N',
        help='images or clips per run (default: %(default)s)',
    )
    parser.add_argument(
        '--dtype',
        default=defaults.dtype,
        choices=['float32', 'bfloat16', 'float16'],
        help='float32, or a type for autocast (default: %(default)s)',
    )
    parser.add_argument(
        '--device',
        default=defaults.device,
        help='such as cpu or cuda:1 (default: %(default)s)',
    )
    parser.add_argument(
        '--threads', type=int, metavar='N', help='threads of PyTorch on a CPU'
    )
    parser.add_argument(
        '--busy',
        type=int,
        default=0,
        metavar='N',
        help='run N other programs, which use processors and caches, at the '
        'same time',
    )
    parser.add_argument(
        '--repeats',
        type=int,
        default=defaults.repeats,
        metavar='N',
        help='runs of which the median counts (default: %(default)s)',
    )
    parser.add_argument(
        '--parts',
        action='store_true',
        help='measure each part of a training step of the config instead',
    )
    parser.add_argument(
        '--products',
        action='store_true',
        help='also time the matrix products of the other model alone, which '
        'every implementation computes',
    )
    parser.add_argument(
        '--alone',
        action='store_true',
        help='measure only the model of this package',
    )
    parser.add_argument(
        '--no-memory', action='store_true', help='do not measure memory'
    )
    parser.add_argument(
        '--no-time', action='store_true', help='do not measure times'
    )
    parser.add_argument(
        '--out', type=Path, help='also write the figures to this JSON file'
    )
    cli.add_debug_argument(parser)
    return parser


def benchmark(args: argparse.Namespace) -> int:
    """Measure and print; write the figures if `--out` is set.

    Raises:
        ValueError: If options are out of range or exclude one another.
    """
    if args.repeats < 1 or args.batch < 1 or min(args.shape) < 1:
        raise ValueError('--repeats, --batch and --shape must be positive')
    if args.busy < 0:
        raise ValueError('--busy must not be negative')
    if args.no_time and args.no_memory:
        raise ValueError('--no-time and --no-memory together measure nothing')
    if args.frames is not None and (args.frames < 1 or args.config):
        raise ValueError('--frames must be positive, and takes no config')
    if args.v2 and (args.frames or args.config):
        raise ValueError('--v2 takes neither --frames nor a config')
    if (args.with_cp or args.sequential) and not args.v2:
        raise ValueError('--with-cp and --sequential need --v2')
    if args.parts and not args.config:
        raise ValueError('--parts needs a config')
    cli.check_device(args.device)
    if args.threads:
        torch.set_num_threads(args.threads)
    case = BenchmarkCase(
        arch=args.arch,
        config=args.config and str(config_path(args.config)),
        shape=tuple(args.shape),
        batch=args.batch,
        dtype=args.dtype,
        device=args.device,
        window=args.window,
        repeats=args.repeats,
        frames=args.frames,
        v2_peer=args.v2,
        with_cp=args.with_cp,
        sequential=args.sequential,
        busy=args.busy,
    )
    device = torch.device(args.device)
    where = (
        torch.cuda.get_device_name(device)
        if device.type == 'cuda'
        else f'{platform.machine()}, {torch.get_num_threads()} threads'
    )
    family = 'Video Swin' if args.frames else 'Swin V2' if args.v2 else 'Swin'
    name = args.config or f'{family}, {args.arch}'
    size = format_size(case.size)
    print(
        f'{name}, {size}, {args.dtype}, {args.device} ({where}), '
        f'torch {torch.__version__}, median of {args.repeats}'
        f'{f", beside {args.busy} other programs" if args.busy else ""}\n'
    )
    if args.parts:
        step = time_step(case)
        print(step.table())
        if args.out:
            cli.write_json(args.out, {**case._asdict(), **step.to_dict()})
        return 0
    rows = measure(
        case,
        not args.alone,
        not args.no_memory,
        not args.no_time,
        args.products,
        lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(format_rows(rows, case.peer))
    if args.out:
        cli.write_json(
            args.out,
            {
                **case._asdict(),
                'where': where,
                'torch': torch.__version__,
                'rows': [
                    {**row._asdict(), 'ratio': row.ratio} for row in rows
                ],
            },
        )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(benchmark, make_parser().parse_args(argv))
