"""Check the results of all kernels on a GPU, and measure them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from swin_dense.analysis.gpu_check import LIMITS, Setting, check, failures
from swin_dense.engine import cli


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(__doc__, 'swin-dense gpu-check --out gpu.json')
    parser.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='such as cuda:1 (default: the first GPU)',
    )
    parser.add_argument(
        '--small',
        action='store_true',
        help='use small inputs, to try the command on a CPU; times then mean '
        'nothing',
    )
    parser.add_argument(
        '--parts',
        nargs='+',
        default=list(LIMITS),
        choices=list(LIMITS),
        metavar='PART',
        help=f'parts to run, of {", ".join(LIMITS)} (default: all)',
    )
    parser.add_argument(
        '--seconds',
        type=float,
        default=470,
        metavar='SECONDS',
        help='time limit for all parts together (default: 470)',
    )
    parser.add_argument(
        '--out', type=Path, help='also write the figures to this JSON file'
    )
    cli.add_debug_argument(parser)
    return parser


def gpu_check(args: argparse.Namespace) -> int:
    """Run the parts and print their figures; return 1 if a part failed.

    Raises:
        ValueError: If an option is out of range, or there is no GPU.
    """
    if args.seconds <= 0:
        raise ValueError(f'--seconds must be positive, got {args.seconds}')
    cli.check_device(args.device)
    if torch.device(args.device).type == 'cpu' and not args.small:
        raise ValueError(
            f'this command needs a GPU, and the device is {args.device}; add '
            '--small to try it on a CPU'
        )
    setting = Setting(args.device, args.small, 1 if args.small else 20)
    results = check(
        setting, args.parts, lambda line: print(line, flush=True), args.seconds
    )
    failed = failures(results)
    if args.out:
        cli.write_json(args.out, {**setting._asdict(), 'parts': results})
        print(f'figures: {args.out}')
    for line in failed:
        print(f'failed: {line}', file=sys.stderr)
    return 1 if failed else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(gpu_check, make_parser().parse_args(argv))
