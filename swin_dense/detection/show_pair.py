"""Draw the truth of an image beside the instances that a detector found."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from swin_dense.data.image_files import read_image
from swin_dense.visualization import contact_sheet
from swin_dense.visualization.palette import palette_of

TILE = 640  # longer side of each of the two pictures, in pixels


def draw_pair(sample: Any, meta: Mapping[str, Any]) -> np.ndarray:
    """Draw the true instances of an image beside those that were found.

    Args:
        sample: `DetDataSample` with `img_path`, `gt_instances` and
            `pred_instances` in pixels of the image.
        meta: `classes` and `palette` of the data set.

    Returns:
        The picture (height, width, 3), BGR, uint8.

    Raises:
        ValueError: If the test pipeline loads no annotations.
    """
    if 'gt_instances' not in sample or 'bboxes' not in sample.gt_instances:
        raise ValueError(
            '--show-dir draws the truth, and the test pipeline loads none: '
            'add LoadAnnotations to test_dataloader.dataset.pipeline'
        )
    pair = read_image(sample.img_path), sample.gt_instances
    return contact_sheet(
        [(*pair, sample.pred_instances)],
        meta['classes'],
        palette=palette_of(meta),
        tile=TILE,
    )
