"""Maps that the verification branch of RepPoints V2 learns from.

Dimension key: G boxes, C classes, h and w the valid part of a level, H and W
a whole map.
"""

from typing import NamedTuple

import torch
from mmdet.models.utils import gaussian_radius
from torch import Tensor

# A box that has moved so far overlaps the true one by this IoU at least.
GAUSSIAN_IOU = 0.7
SEMANTIC_STRIDE = 8  # pixels of the image in a pixel of the foreground map


class CornerTargets(NamedTuple):
    """What a level learns of one kind of corner.

    Attributes:
        heat_map: (h, w); 1 at the points next to a corner, less around them.
        offsets: x and y from a point to its corner in strides, (2, h, w).
    """

    heat_map: Tensor
    offsets: Tensor


def corner_radii(boxes: Tensor) -> Tensor:
    """Return how far a corner may move, in pixels, (G,).

    Args:
        boxes: (G, 4), x1, y1, x2, y2 in pixels.
    """
    sides = (boxes[:, 2:] - boxes[:, :2]).tolist()
    return boxes.new_tensor(
        [gaussian_radius((h, w), GAUSSIAN_IOU) for w, h in sides]
    )


def corner_targets(
    corners: Tensor, radii: Tensor, size: tuple[int, int], stride: int
) -> CornerTargets:
    """Draw the heat map and the offsets of one kind of corner on a level.

    Point (row i, column j) lies at (j * stride, i * stride) pixels. Around a
    corner the map is a Gaussian, cut off at the radius; at the nearest point
    it is 1. Of several corners next to one point, the last gives the offset.

    Args:
        corners: x and y in pixels, (G, 2).
        radii: In pixels, (G,).
        size: h and w.
        stride: Pixels between points.
    """
    height, width = size
    x = torch.arange(width, device=corners.device) * stride
    y = torch.arange(height, device=corners.device) * stride
    distance_x = x - corners[:, :1]  # (G, w)
    distance_y = y - corners[:, 1:]  # (G, h)
    squares = distance_y.square()[:, :, None] + distance_x.square()[:, None]
    sigma = ((2 * radii + 1) / 6)[:, None, None]
    values = (-squares / (2 * sigma**2)).exp()  # (G, h, w)
    values = values * (squares < radii[:, None, None].square())
    heat_map = values.amax(0) if len(corners) else squares.sum(0)

    cell = distance_y.abs().argmin(1) * width + distance_x.abs().argmin(1)
    number = torch.arange(len(corners), device=corners.device)
    last = cell.new_full((height * width,), -1)
    last = last.scatter_reduce(0, cell, number, 'amax').view(size)  # (h, w)
    taken = last >= 0
    heat_map = heat_map.masked_fill(taken, 1)
    offsets = corners.new_zeros(2, height, width)
    row, column = taken.nonzero(as_tuple=True)
    point = torch.stack([column, row], 1) * stride
    offsets[:, row, column] = ((corners[last[taken]] - point) / stride).T
    return CornerTargets(heat_map, offsets)


def semantic_targets(
    boxes: Tensor, labels: Tensor, num_classes: int, image_size: tuple
) -> tuple[Tensor, Tensor]:
    """Paint boxes onto a map of classes, the largest first.

    Args:
        boxes: (G, 4), x1, y1, x2, y2 in pixels.
        labels: (G,).
        num_classes: C.
        image_size: Height and width of the padded image in pixels.

    Returns:
        The map, 1 inside boxes of a class, and the weight, 1 / area of the
        box that was painted last (an area of less than a pixel counts as 1):
        (C, H, W) each, at 1/8 of the image.
    """
    height, width = (side // SEMANTIC_STRIDE for side in image_size)
    painted = boxes.new_zeros(num_classes, height, width)
    weights = torch.zeros_like(painted)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    order = areas.argsort(descending=True, stable=True)
    cells = (boxes.clamp(min=0) / SEMANTIC_STRIDE).long()[order].tolist()
    factors = (1 / areas.clamp(min=1))[order].tolist()
    for (left, top, right, bottom), label, factor in zip(
        cells, labels[order].tolist(), factors
    ):
        part = label, slice(top, bottom + 1), slice(left, right + 1)
        painted[part] = 1
        weights[part] = factor
    return painted, weights
