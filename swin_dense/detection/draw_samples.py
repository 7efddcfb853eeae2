"""Draw the samples of a detection data set with their objects."""

from typing import Any

import numpy as np

from swin_dense.visualization.instances import draw_instances


def draw_sample(
    sample: dict[str, Any], image: np.ndarray, meta: dict[str, Any]
) -> np.ndarray:
    """Draw boxes, masks and classes of a sample.

    Args:
        sample: What the data set returns.
        image: Its image (H, W, 3), BGR, uint8, of the size of its labels.
        meta: `metainfo` of the data set.

    Returns:
        The picture, (H, W, 3) uint8, BGR.
    """
    return draw_instances(
        image, sample['data_samples'].gt_instances, meta['classes']
    )
