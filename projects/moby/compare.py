"""Train Mask R-CNN on 50 images, from scratch and after MoBY.

The pretraining comes first, unless its checkpoint exists.
"""

import sys
from collections.abc import Sequence

from swin_dense.engine import cli
from swin_dense.engine.compare_trainings import make_parser
from swin_dense.pretraining.comparison import (
    add_pretraining_arguments,
    compare_pretraining,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run."""
    parser = make_parser(
        __doc__,
        'python projects/moby/compare.py --seeds 0 1 2',
        work_dir='work_dirs/moby_compare',
    )
    add_pretraining_arguments(
        parser,
        config='projects/simmim/configs/mask_rcnn_swin_nano_shapes_50.py',
        pretraining='projects/moby/configs/moby_swin_nano_shapes.py',
    )
    return cli.run(compare_pretraining, parser.parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
