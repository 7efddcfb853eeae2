"""The points of a pyramid, their boxes, and the objects assigned to them.

Dimension key: B images, P points of an object, N points of all levels of the
pyramid, h and w the size of a level.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmdet.models.task_modules.prior_generators import MlvlPointGenerator
from mmengine.structures import InstanceData
from torch import Tensor


class PointGrid(NamedTuple):
    """The positions of the points of a batch.

    Attributes:
        sizes: h and w of each level.
        points: x and y in pixels, (N, 2); no half stride is added.
        strides: Pixels between the points of their level, (N,).
        valid: True for points within the `pad_shape` of their image, (B, N).
            Others are in the padding to the largest image of the batch.
    """

    sizes: list[tuple[int, int]]
    points: Tensor
    strides: Tensor
    valid: Tensor

    @property
    def level_sizes(self) -> list[int]:
        """Number of points of each level."""
        return [h * w for h, w in self.sizes]


def make_grid(
    generator: MlvlPointGenerator,
    levels: Sequence[Tensor],
    batch_img_metas: Sequence[dict],
) -> PointGrid:
    """Return the points of maps (B, ..., h, w).

    Args:
        generator: Generator of points with the strides of all levels.
        levels: A map for each level.
        batch_img_metas: `pad_shape` of each image.
    """
    device = levels[0].device
    sizes = [(level.shape[-2], level.shape[-1]) for level in levels]
    priors = torch.cat(
        generator.grid_priors(sizes, device=device, with_stride=True)
    )
    valid = [
        torch.cat(generator.valid_flags(sizes, meta['pad_shape'], device))
        for meta in batch_img_metas
    ]
    return PointGrid(sizes, priors[:, :2], priors[:, 2], torch.stack(valid))


def flatten_levels(levels: Sequence[Tensor]) -> Tensor:
    """Concatenate maps (B, C, h, w) of all levels to (B, N, C)."""
    maps = [level.flatten(2) for level in levels]  # (B, C, h * w) each
    return torch.cat(maps, 2).mT  # (B, N, C)


def decode_boxes(offsets: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    """Return the boxes of predicted points.

    The first point of an object is the top-left corner, the second one the
    bottom-right corner. Their order is not enforced.

    Args:
        offsets: From the location to each point in strides, y before x,
            (..., N, P * 2).
        points: Locations, x and y in pixels, (N, 2).
        strides: (N,).

    Returns:
        x1, y1, x2, y2 in pixels, (..., N, 4).
    """
    corners = offsets[..., [1, 0, 3, 2]]
    return corners * strides[:, None] + points.repeat(1, 2)


def assign_points(
    assigner: Any,
    priors: Tensor,
    grid: PointGrid,
    batch_gt_instances: Sequence[InstanceData],
    by_level: bool = False,
) -> Tensor:
    """Assign an object to each point.

    Args:
        assigner: An assigner of mmdet.
        priors: Priors of the assigner, (B, N, ...).
        grid: The points.
        batch_gt_instances: `bboxes` and `labels` of each image.
        by_level: True if the assigner takes the number of priors of each
            level.

    Returns:
        Number of the object of each point, (B, N), from 0 on within an image;
        -1 for points without an object.
    """
    matches = []
    for prior, valid, objects in zip(priors, grid.valid, batch_gt_instances):
        levels = valid.split(grid.level_sizes)
        counts = dict(num_level_priors=[int(level.sum()) for level in levels])
        result = assigner.assign(
            pred_instances=InstanceData(priors=prior[valid]),
            gt_instances=objects,
            **(counts if by_level else {}),
        )
        match = torch.full_like(valid, -1, dtype=torch.long)
        match[valid] = result.gt_inds - 1
        matches.append(match)
    return torch.stack(matches)


def matched_boxes(
    matches: Tensor, batch_gt_instances: Sequence[InstanceData]
) -> tuple[Tensor, Tensor]:
    """Return boxes and labels of the objects assigned to points.

    Args:
        matches: Numbers of objects, (B, N); -1 for none.
        batch_gt_instances: `bboxes` and `labels` of each image.

    Returns:
        Boxes (M, 4) and labels (M,) of the M points with an object, in the
        order of the batch.
    """
    boxes, labels = [], []
    for match, objects in zip(matches, batch_gt_instances):
        number = match[match >= 0]
        boxes.append(objects.bboxes[number])
        labels.append(objects.labels[number])
    return torch.cat(boxes), torch.cat(labels)


def count_per_image(flags: Tensor) -> int:
    """Count the true flags (B, ...), at least one for each image."""
    counts = flags.flatten(1).sum(1)  # (B, )
    return int(counts.clamp(min=1).sum())
