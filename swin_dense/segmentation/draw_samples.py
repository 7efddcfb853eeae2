"""Draw the samples of a segmentation data set with their label maps."""

from typing import Any

import numpy as np

from swin_dense.visualization.labels import draw_labels


def draw_sample(
    sample: dict[str, Any], image: np.ndarray, meta: dict[str, Any]
) -> np.ndarray:
    """Draw the label map of a sample, with a legend.

    Args:
        sample: What the data set returns.
        image: Its image (H, W, 3), BGR, uint8, of the size of its labels.
        meta: `metainfo` of the data set.

    Returns:
        The picture, (height, width, 3) uint8, BGR.
    """
    labels = sample['data_samples'].gt_sem_seg.data[0]  # (H, W)
    return draw_labels(image, labels.numpy(), meta['classes'], meta['palette'])
