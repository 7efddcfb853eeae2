"""Assigners that rank points by their distance from the mask, not the box.

Mask RepPoints V2 assigns objects to points near the centres of their masks.
Both assigners read `centers` of the ground truth, x and y in pixels, (G, 2).

Dimension key: G objects, N priors.
"""

from typing import Any

import torch
from mmdet.models.task_modules.assigners import (
    AssignResult,
    ATSSAssigner,
    PointAssigner,
)
from mmengine.structures import InstanceData
from torch import Tensor

from swin_dense.registry import TASK_UTILS


@TASK_UTILS.register_module()
class CenterPointAssigner(PointAssigner):
    """mmdet's PointAssigner with `centers` instead of the centres of boxes.

    Arguments are those of PointAssigner.
    """

    def assign(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
        **kwargs: Any,
    ) -> AssignResult:
        """Assign each object to its nearest points; see mmdet.

        Args:
            pred_instances: `priors` (N, 3): x, y and stride in pixels.
            gt_instances: `bboxes` (G, 4), `labels` (G,) and `centers` (G, 2).
            gt_instances_ignore: Not used.
            **kwargs: Not used.
        """
        # The assigner takes centre, width and height from the boxes alone.
        half = (gt_instances.bboxes[:, 2:] - gt_instances.bboxes[:, :2]) / 2
        centers = gt_instances.centers
        moved = InstanceData(
            bboxes=torch.cat([centers - half, centers + half], 1),
            labels=gt_instances.labels,
        )
        return super().assign(pred_instances, moved, gt_instances_ignore)


@TASK_UTILS.register_module()
class CenterATSSAssigner(ATSSAssigner):
    """mmdet's ATSSAssigner with candidates near the objects' `centers`.

    A prior still has to lie inside of the box. With the centres of the boxes
    the result is that of ATSSAssigner.

    Arguments are those of ATSSAssigner, except `alpha`.
    """

    def assign(
        self,
        pred_instances: InstanceData,
        num_level_priors: list[int],
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
    ) -> AssignResult:
        """Assign boxes by the adaptive threshold of ATSS.

        Args:
            pred_instances: `priors` (N, 4), boxes in pixels.
            num_level_priors: Number of priors of each level.
            gt_instances: `bboxes` (G, 4), `labels` (G,) and `centers` (G, 2).
            gt_instances_ignore: Not used.
        """
        priors, boxes = pred_instances.priors, gt_instances.bboxes
        num_objects = len(boxes)
        assigned = priors.new_zeros(len(priors), dtype=torch.long)
        labels = assigned - 1
        overlaps = self.iou_calculator(priors, boxes)  # (N, G)
        if not num_objects:
            return AssignResult(
                0, assigned, overlaps.new_zeros(len(priors)), labels
            )

        prior_centers = (priors[:, :2] + priors[:, 2:]) / 2
        distances = torch.cdist(
            prior_centers,
            gt_instances.centers,
            compute_mode='donot_use_mm_for_euclid_dist',
        )
        candidates = _nearest(distances, num_level_priors, self.topk)
        candidate_overlaps = overlaps.gather(0, candidates)
        threshold = candidate_overlaps.mean(0) + candidate_overlaps.std(0)
        point = prior_centers[candidates]  # (candidates, G, 2)
        margin = torch.cat([point - boxes[:, :2], boxes[:, 2:] - point], -1)
        chosen = candidate_overlaps >= threshold
        chosen &= margin.amin(-1) > 0.01

        # A prior of several objects is assigned to the one of highest IoU.
        matched = torch.zeros_like(overlaps, dtype=torch.bool)
        matched.scatter_(0, candidates, chosen)
        best, number = overlaps.masked_fill(~matched, -1).max(1)
        positive = best >= 0
        assigned[positive] = number[positive] + 1
        labels[positive] = gt_instances.labels[number[positive]]
        return AssignResult(num_objects, assigned, best, labels)


def _nearest(distances: Tensor, num_level_priors: list[int], k: int) -> Tensor:
    """Return the k nearest priors of each object on each level.

    Args:
        distances: (N, G).
        num_level_priors: Number of priors of each level.
        k: Number of priors; a level with fewer priors gives all.

    Returns:
        Numbers of priors, (candidates, G).
    """
    nearest, start = [], 0
    for level in distances.split(num_level_priors):
        indices = level.topk(min(k, len(level)), dim=0, largest=False)[1]
        nearest.append(indices + start)
        start += len(level)
    return torch.cat(nearest)
