"""Targets and loss of the masks of Mask RepPoints V2.

Dimension key: G objects of an image, N masks, H and W the size of the padded
image.
"""

import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import Tensor

DICE_EPS = 1e-5


def mask_centers(objects: InstanceData) -> Tensor:
    """Return the centroids of masks, x and y in pixels, (G, 2).

    An object with an empty mask gets the centre of its box.

    Args:
        objects: `bboxes` (G, 4) and `masks`.
    """
    boxes = objects.bboxes
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    masks = objects.masks.to_ndarray() != 0  # (G, H, W)
    for i, mask in enumerate(masks):
        columns, rows = mask.sum(0), mask.sum(1)
        area = columns.sum()
        if area:
            center = (
                columns @ np.arange(len(columns)) / area,
                rows @ np.arange(len(rows)) / area,
            )
            centers[i] = centers.new_tensor(center)
    return centers


def mask_targets(objects: InstanceData, stride: int) -> Tensor:
    """Return every stride-th pixel of the masks, from stride // 2 on.

    Args:
        objects: `bboxes` and `masks` (G, H, W).
        stride: Pixels of the image per pixel of the result.

    Returns:
        0 and 1, (G, H // stride, W // stride), on the device of the boxes.
    """
    start = stride // 2
    masks = objects.masks.to_ndarray()[:, start::stride, start::stride] != 0
    return torch.from_numpy(masks).to(objects.bboxes)


def dice_loss(probabilities: Tensor, target: Tensor) -> Tensor:
    """Return 1 - 2 pg / (p^2 + g^2) of each mask, (N,).

    V-Net (arXiv 1606.04797), with squares in the denominator.

    Args:
        probabilities: (N, h, w).
        target: 0 and 1, in the shape of `probabilities`.
    """
    p, g = probabilities.flatten(1), target.flatten(1)  # (N, h * w) each
    overlap = (p * g).sum(1)
    return 1 - 2 * overlap / (p.square() + g.square()).sum(1).add(DICE_EPS)
