"""Draw the true label map of an image beside the predicted one."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from swin_dense.data.image_files import read_image
from swin_dense.visualization import label_sheet

TILE = 640  # longer side of each of the two pictures, in pixels


def draw_pair(sample: Any, meta: Mapping[str, Any]) -> np.ndarray:
    """Draw the true label map of an image beside the predicted one.

    Args:
        sample: `SegDataSample` with `img_path`, `gt_sem_seg` and
            `pred_sem_seg`, both (1, H, W).
        meta: `classes` and `palette` of the data set.

    Returns:
        The picture (height, width, 3), BGR, uint8.

    Raises:
        ValueError: If the test pipeline loads no annotations.
    """
    if 'gt_sem_seg' not in sample:
        raise ValueError(
            '--show-dir draws the truth, and the test pipeline loads none: '
            'add LoadAnnotations to test_dataloader.dataset.pipeline'
        )
    truth, found = (
        entry.data.squeeze(0).cpu().numpy()  # (H, W)
        for entry in (sample.gt_sem_seg, sample.pred_sem_seg)
    )
    return label_sheet(
        [(read_image(sample.img_path), truth, found)],
        meta['classes'],
        meta.get('palette') or None,
        tile=TILE,
    )
