"""Check on a GPU that all kernels are right, and how fast they are."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from swin_dense.analysis.gpu_check import LIMITS, Setting, check, failures
from swin_dense.engine import cli


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = cli.make_parser(
        __doc__, 'python tools/gpu_check.py --out gpu.json'
    )
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu'
    )
    parser.add_argument(
        '--small',
        action='store_true',
        help='sizes of a test, for a CPU; figures then mean nothing',
    )
    parser.add_argument(
        '--parts',
        nargs='+',
        default=list(LIMITS),
        choices=list(LIMITS),
        metavar='PART',
        help=f'of {", ".join(LIMITS)} (default: all)',
    )
    parser.add_argument(
        '--seconds',
        type=float,
        default=470,
        help='time for all parts (default: 470); each has a limit besides',
    )
    parser.add_argument(
        '--out', type=Path, help='also write the figures to this JSON file'
    )
    cli.add_debug_argument(parser)
    return parser.parse_args(argv)


def _check(args: argparse.Namespace) -> int:
    if args.seconds <= 0:
        raise ValueError(f'--seconds must be positive, got {args.seconds}')
    if torch.device(args.device).type == 'cpu' and not args.small:
        raise ValueError(
            'the check is for a GPU, and PyTorch finds none or --device names '
            'none; add --small to try it on a CPU'
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
    """Run the check; the exit status."""
    return cli.run(_check, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
