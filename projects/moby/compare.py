"""Train Mask R-CNN on 50 images, from scratch and from a MoBY checkpoint."""

import sys
from collections.abc import Sequence

from swin_dense.engine import cli
from swin_dense.pretraining.comparison import compare, make_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run."""
    parser = make_parser(
        __doc__,
        'python projects/moby/compare.py --seeds 0 1 2',
        config='projects/simmim/configs/mask_rcnn_swin_nano_shapes_50.py',
        checkpoint='work_dirs/moby_swin_nano_shapes/iter_2000.pth',
        work_dir='work_dirs/moby_compare',
    )
    return cli.run(compare, parser.parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
