"""Losses of the maps of corners and of foreground.

Dimension key: B images, C classes, h and w the size of a level.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from torch import Tensor, nn

from swin_dense.detection.reppoints_v2.points import (
    PointGrid,
    count_per_image,
)
from swin_dense.detection.reppoints_v2.targets import (
    corner_radii,
    corner_targets,
    semantic_targets,
)


def corner_losses(
    scores: Sequence[Tensor],
    offsets: Sequence[Tensor],
    grid: PointGrid,
    strides: Sequence[int],
    batch_gt_instances: Sequence[InstanceData],
    loss_heatmap: nn.Module,
    loss_offset: nn.Module,
) -> dict[str, Tensor]:
    """Compute the losses of corner maps on all levels.

    Args:
        scores: Logits of top-left and bottom-right corners, (B, 2, h, w) for
            each level.
        offsets: Offsets x and y to both corners, in strides, (B, 4, h, w) for
            each level.
        grid: The points.
        strides: Pixels between the points of each level.
        batch_gt_instances: `bboxes` of each image.
        loss_heatmap: Loss of probabilities and heat maps.
        loss_offset: Loss of offsets.

    Returns:
        `loss_heatmap` and `loss_offset`, each the mean over both corners.
    """
    num_levels, num_images = len(scores), len(batch_gt_instances)
    valid = [
        level.view(num_images, *size)
        for level, size in zip(
            grid.valid.split(grid.level_sizes, 1), grid.sizes
        )
    ]  # (B, h, w)
    radii = [corner_radii(objects.bboxes) for objects in batch_gt_instances]
    losses: dict[str, Any] = {'loss_heatmap': 0.0, 'loss_offset': 0.0}
    for kind in range(2):
        channels = slice(2 * kind, 2 * kind + 2)
        targets = []
        for i in range(num_levels):
            padded = [
                _targets(
                    objects.bboxes[:, channels],
                    radius,
                    valid[i][image],
                    strides[i],
                )
                for image, (objects, radius) in enumerate(
                    zip(batch_gt_instances, radii)
                )
            ]
            targets.append(torch.stack(padded))  # (B, 3, h, w)
        # (B, 3, locations)
        flat = torch.cat([level.flatten(2) for level in targets], 2)
        factor = count_per_image(flat[:, 0] == 1)
        for i in range(num_levels):
            heat_map = targets[i][:, 0]
            losses['loss_heatmap'] += loss_heatmap(
                scores[i][:, kind].sigmoid(),
                heat_map,
                weight=valid[i].to(heat_map.dtype),
                avg_factor=factor,
            )
            image, row, column = (heat_map == 1).nonzero(as_tuple=True)
            losses['loss_offset'] += loss_offset(
                offsets[i][image, channels, row, column],
                targets[i][image, 1:, row, column],
                avg_factor=factor,
            )
    return {name: loss / 2 for name, loss in losses.items()}


def _targets(
    corners: Tensor, radii: Tensor, valid: Tensor, stride: int
) -> Tensor:
    """Return heat map and offsets on a level, 0 on padding, (3, h, w)."""
    height, width = int(valid[:, 0].sum()), int(valid[0].sum())
    target = corner_targets(corners, radii, (height, width), stride)
    maps = torch.cat([target.heat_map[None], target.offsets])
    margin = (0, valid.shape[1] - width, 0, valid.shape[0] - height)
    return F.pad(maps, margin)  # (3, h, w)


def semantic_loss(
    logits: Sequence[Tensor],
    batch_gt_instances: Sequence[InstanceData],
    image_size: tuple[int, int],
    loss_sem: nn.Module,
) -> Tensor:
    """Compute the loss of foreground maps on all levels.

    Args:
        logits: (B, C, h, w) for each level.
        batch_gt_instances: `bboxes` and `labels` of each image.
        image_size: Height and width of the padded batch in pixels.
        loss_sem: Loss of logits, targets and weights of all levels together.
    """
    maps, weights = map(
        torch.stack,
        zip(
            *(
                semantic_targets(
                    objects.bboxes,
                    objects.labels,
                    logits[0].shape[1],
                    image_size,
                )
                for objects in batch_gt_instances
            )
        ),
    )  # (B, C, H, W) each
    flat = [
        torch.cat([level.flatten() for level in levels])
        for levels in (
            logits,
            [F.interpolate(maps, level.shape[-2:]) for level in logits],
            [F.interpolate(weights, level.shape[-2:]) for level in logits],
        )
    ]
    return loss_sem(*flat)
