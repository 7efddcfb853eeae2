"""Masks of boxes that were merged over views, by dynamic convolutions.

Mask RepPoints V2 cannot predict the mask of a given box, only the mask that
belongs to a location. Each view contributes the mask of its box with the
highest overlap.

Dimension key: M merged boxes, N boxes of a view, H and W the size of the file.
"""

from typing import NamedTuple

import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from torch import Tensor

from swin_dense.compat.operators.sampling import MAX_ELEMENTS
from swin_dense.detection.reppoints_v2.dynamic_masks import Objects
from swin_dense.detection.reppoints_v2.mask_head import (
    MaskRepPointsV2Head,
    pop_objects,
)

SAME_OBJECT = 0.6  # least IoU of boxes whose masks are averaged


class _View(NamedTuple):
    boxes: InstanceData
    objects: Objects
    features: Tensor
    sample: DetDataSample
    mirrored: tuple[int, ...]


class LocationMasks:
    """Collect the boxes of views, then average the masks of merged boxes.

    Args:
        head: The head that found the boxes.
    """

    def __init__(self, head: MaskRepPointsV2Head) -> None:
        self.head = head
        self.views: list[_View] = []

    def add(
        self,
        boxes: InstanceData,
        features: Tensor,
        sample: DetDataSample,
        mirrored: tuple[int, ...],
    ) -> InstanceData:
        """Store the tensors that the masks of a view need; number its boxes.

        Args:
            boxes: Detections of the view, in pixels of the file. The fields
                that only masks need are removed.
            features: Features of the pixels of the view, (1, F, h, w).
            sample: Data sample of the view.
            mirrored: Axes along which the view is mirrored.

        Returns:
            `bboxes`, `scores` and `labels` of the detections, with the numbers
            of view and box.
        """
        objects = pop_objects(boxes)
        self.views.append(_View(boxes, objects, features[0], sample, mirrored))
        number = torch.arange(len(boxes), device=boxes.bboxes.device)
        view = torch.full_like(number, len(self.views) - 1)
        return InstanceData(
            bboxes=boxes.bboxes,
            scores=boxes.scores,
            labels=boxes.labels,
            view=view,
            number=number,
        )

    def masks(self, merged: InstanceData) -> Tensor:
        """Return the masks of boxes that `add` has numbered.

        Args:
            merged: Merged boxes. The numbers that `add` stored are removed.

        Returns:
            (M, H, W), boolean.
        """
        views, numbers = merged.pop('view'), merged.pop('number')
        size = self.views[0].sample.ori_shape[:2]
        rows = [
            torch.where(views == i, numbers, self._best(view, merged))
            for i, view in enumerate(self.views)
        ]  # (M,) each, -1 where a view has no such box
        masks = merged.bboxes.new_zeros((len(merged), *size), dtype=torch.bool)
        threshold = self.head.test_cfg.mask_thr_binary
        step = max(1, MAX_ELEMENTS // (size[0] * size[1]))
        for start in range(0, len(merged), step):
            part = slice(start, start + step)
            total = merged.bboxes.new_zeros(masks[part].shape)
            count = merged.bboxes.new_zeros(len(total), 1, 1)
            for view, row in zip(self.views, rows):
                has_mask = row[part] >= 0
                total[has_mask] += self._probabilities(
                    view, row[part][has_mask]
                )
                count += has_mask[:, None, None]
            masks[part] = total / count > threshold
        return masks

    def _best(self, view: _View, merged: InstanceData) -> Tensor:
        """Return the number of the view's box for each merged box, (M,).

        The box has the same label and the highest IoU. The number is -1 if
        no box has an IoU above `SAME_OBJECT`.
        """
        if not len(view.boxes):
            return torch.full_like(merged.labels, -1)
        overlaps = bbox_overlaps(merged.bboxes, view.boxes.bboxes)  # (M, N)
        same = merged.labels[:, None] == view.boxes.labels
        best, number = overlaps.masked_fill(~same, 0).max(1)
        return number.masked_fill(best < SAME_OBJECT, -1)

    def _probabilities(self, view: _View, rows: Tensor) -> Tensor:
        """Return the masks (rows, H, W) of boxes of a view."""
        probabilities = self.head.mask_probabilities(
            view.features,
            Objects(*(field[rows] for field in view.objects)),
            view.sample.img_shape[:2],
            view.sample.ori_shape[:2],
        )
        return probabilities.flip(view.mirrored)
