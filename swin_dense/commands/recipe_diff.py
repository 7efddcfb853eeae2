"""Show what differs between two trainings, the likeliest cause first."""

import argparse
from collections.abc import Sequence

from swin_dense.engine import cli
from swin_dense.engine.certificate import differences, read_certificate
from swin_dense.wording import counted


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__,
        'swin-dense recipe-diff work_dirs/my_run cascade_swin_b_coco',
    )
    parser.add_argument(
        'first',
        metavar='RUN',
        help='work folder of a training, its certificate.json, or one of its '
        'checkpoints',
    )
    parser.add_argument(
        'second',
        metavar='RUN|CONFIG',
        help='the same of another training; or a config file, or the name of '
        'a recipe',
    )
    parser.add_argument(
        '--out', metavar='FILE.json', help='also write the differences as JSON'
    )
    cli.add_debug_argument(parser)
    return parser


def recipe_diff(args: argparse.Namespace) -> int:
    """Print the differences; write them if `--out` is set."""
    first, second = map(read_certificate, (args.first, args.second))
    found = differences(first, second)
    print(f'{args.first} -> {args.second}')
    for number, difference in enumerate(found, 1):
        print(f'{number:3}. {difference}')
    print(counted(len(found), 'difference'))
    if args.out:
        cli.write_json(args.out, [entry._asdict() for entry in found])
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(recipe_diff, make_parser().parse_args(argv))
