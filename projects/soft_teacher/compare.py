"""Train Mask R-CNN on 50 images, with 1000 unlabelled ones and without."""

import sys
from collections.abc import Sequence
from functools import partial

from swin_dense.engine import cli
from swin_dense.engine.compare_trainings import Variant, compare, make_parser

CONFIGS = 'projects/soft_teacher/configs'
VARIANTS = (
    Variant(
        'labelled and unlabelled',
        f'{CONFIGS}/mask_rcnn_nano_shapes.py',
        nets=('student', 'teacher'),
    ),
    Variant('labelled alone', f'{CONFIGS}/mask_rcnn_nano_shapes_labelled.py'),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run."""
    parser = make_parser(
        __doc__,
        'python projects/soft_teacher/compare.py --seeds 0 1 2',
        work_dir='work_dirs/soft_teacher_compare',
    )
    return cli.run(partial(compare, VARIANTS), parser.parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
