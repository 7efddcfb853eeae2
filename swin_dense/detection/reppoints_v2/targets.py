"""Targets of the verification branch of RepPoints V2.

Dimension key: G boxes, C classes, h and w the size of the valid part of a
level, H and W the size of a whole map.
"""

from typing import NamedTuple

import torch
from mmdet.models.utils import gaussian_radius
from torch import Tensor

# Least IoU of a box whose corners are moved by the radius with the true box.
GAUSSIAN_IOU = 0.7
SEMANTIC_STRIDE = 8  # pixels of the image per pixel of the foreground map


class CornerTargets(NamedTuple):
    """The targets of a level for one kind of corner.

    Attributes:
        heat_map: (h, w); 1 at the points next to a corner, less around them.
        offsets: x and y from a point to its corner in strides, (2, h, w).
    """

    heat_map: Tensor
    offsets: Tensor


def corner_radii(boxes: Tensor) -> Tensor:
    """Return the radius within which a corner counts, in pixels, (G,).

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

    The point in row i and column j is at (j * stride, i * stride) pixels. The
    heat map around a corner is a Gaussian, cut off at the radius, and 1 at the
    nearest point. If several corners have the same nearest point, it gets the
    offset of the last one.

    Args:
        corners: x and y in pixels, (G, 2).
        radii: Radii in pixels, (G,).
        size: Size (h, w) of the map.
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
    """Draw boxes into a map of each class, the largest box first.

    Args:
        boxes: (G, 4), x1, y1, x2, y2 in pixels.
        labels: (G,).
        num_classes: Number of classes C.
        image_size: Height and width of the padded image in pixels.

    Returns:
        Two maps (C, H, W) at 1/8 of the size of the image: 1 inside the boxes
        of a class; and weights, 1 / area of the box that was drawn last (at
        most 1).
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
