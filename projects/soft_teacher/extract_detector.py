"""Take the student or teacher out of a checkpoint of Soft Teacher.

The result is a checkpoint of the plain detector, for `swin-dense predict`,
`test` and everything else.
"""

import argparse
import sys
from pathlib import Path

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.checkpoints.files.write import (
    check_destination,
    write_checkpoint,
)
from swin_dense.engine import cli


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__, 'python projects/soft_teacher/extract_detector.py'
    )
    parser.add_argument('checkpoint', help='checkpoint of Soft Teacher')
    parser.add_argument('out', help='file to write, .pth or .safetensors')
    parser.add_argument(
        '--net',
        choices=('student', 'teacher'),
        default='student',
        help='which of the two (default: student)',
    )
    parser.add_argument(
        '--force', action='store_true', help='replace an existing file'
    )
    cli.add_debug_argument(parser)
    return parser


def extract(args: argparse.Namespace) -> int:
    """Write the weights of one net under the names of the detector."""
    source = Path(args.checkpoint)
    check_destination(args.out, args.force, source)
    checkpoint = read_checkpoint(source)
    prefix = f'{args.net}.'
    weights = {
        name.removeprefix(prefix): value
        for name, value in checkpoint.get('state_dict', {}).items()
        if name.startswith(prefix)
    }
    if not weights:
        raise CheckpointError(
            f'{source} has no weights that begin with {prefix}; expected a '
            'checkpoint of a training with Soft Teacher'
        )
    write_checkpoint(
        args.out,
        dict(meta=checkpoint.get('meta', {}), state_dict=weights),
        dict(source=source.name, net=args.net),
        args.force,
    )
    print(f'{args.out}: {len(weights)} tensors of the {args.net}')
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return cli.run(extract, make_parser().parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
