"""Show source, arch, window, classes and hash of a checkpoint.

Nothing in the file is executed, and no model is built.
"""

import argparse
from collections.abc import Sequence

from swin_dense.checkpoints.format_info import format_info
from swin_dense.checkpoints.inspect_file import inspect_checkpoint
from swin_dense.engine import cli


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__,
        'swin-dense inspect swin_tiny_patch4_window7_224.pth',
    )
    parser.add_argument(
        'src', metavar='SRC', help='path or address of a checkpoint'
    )
    parser.add_argument(
        '--out', metavar='FILE.json', help='also write the properties as JSON'
    )
    cli.add_prefix_argument(parser)
    cli.add_debug_argument(parser)
    return parser


def inspect(args: argparse.Namespace) -> int:
    """Print the properties; write them if `--out` is set."""
    info = inspect_checkpoint(args.src, args.prefix)
    print(format_info(info))
    if args.out:
        cli.write_json(args.out, info)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(inspect, make_parser().parse_args(argv))
