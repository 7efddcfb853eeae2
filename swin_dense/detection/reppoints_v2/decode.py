"""Compute boxes and scores of an image from the maps of the head.

Dimension key: C classes, P points of an object, h and w the size of a level,
N boxes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from swin_dense.detection.reppoints_v2.points import decode_boxes
from swin_dense.detection.reppoints_v2.snapping import finer_level, snap_boxes


class ImageMaps(NamedTuple):
    """The predictions of the head for one image, an entry for each level.

    Attributes:
        cls_scores: Logits (C, h, w).
        offsets: From the location to each refined point in strides, y before
            x, (P * 2, h, w).
        corner_scores: Logits of both corners, (2, h, w).
        corner_offsets: x and y of both, in strides, (4, h, w).
        extra: Further values of each location by name, (K, h, w).
    """

    cls_scores: Sequence[Tensor]
    offsets: Sequence[Tensor]
    corner_scores: Sequence[Tensor]
    corner_offsets: Sequence[Tensor]
    extra: Sequence[dict[str, Tensor]]


def decode_image(
    maps: ImageMaps,
    priors: Sequence[Tensor],
    strides: Sequence[int],
    img_shape: tuple[int, int],
    nms_pre: int,
    score_thr: float,
) -> InstanceData:
    """Return the boxes of an image before NMS.

    The pairs of location and class with the highest scores are taken from each
    level. Except on the finest level, the corners of boxes are then moved to
    the likeliest corners in the heat map of a finer level.

    Args:
        maps: Predictions of the head.
        priors: Locations of each level, x and y in pixels, (h * w, 2).
        strides: Pixels between locations of each level.
        img_shape: Height and width of the image in pixels, which limit boxes.
        nms_pre: Largest number of boxes of a level; -1 for no limit.
        score_thr: Scores must be above this threshold.

    Returns:
        `bboxes` (N, 4) in pixels, `scores` and `labels` (N,), and the fields
        of `extra`, (N, K).
    """
    by_level = []
    for level, stride in enumerate(strides):
        scores = maps.cls_scores[level].flatten(1).sigmoid().T  # (h * w, C)
        count = len(scores) if nms_pre < 0 else min(nms_pre, len(scores))
        place = scores.amax(1).topk(count)[1]
        offsets = maps.offsets[level].flatten(1).T  # (h * w, 2 * points)
        boxes = decode_boxes(
            offsets[place],
            priors[level][place],
            scores.new_full((count,), stride),
        )
        boxes = _clip(boxes, img_shape)
        finer = finer_level(level)
        if finer is not None:
            boxes = snap_boxes(
                boxes,
                maps.corner_scores[finer],
                maps.corner_offsets[finer],
                strides[finer],
            )
            boxes = _clip(boxes, img_shape)
        row, label = (scores[place] > score_thr).nonzero(as_tuple=True)
        extra = {
            name: values.flatten(1).T[place[row]]
            for name, values in maps.extra[level].items()
        }  # (n, K) each
        by_level.append(
            InstanceData(
                bboxes=boxes[row],
                scores=scores[place[row], label],
                labels=label,
                **extra,
            )
        )
    return InstanceData.cat(by_level)


def _clip(boxes: Tensor, img_shape: tuple[int, int]) -> Tensor:
    """Clip boxes (N, 4) to an image."""
    height, width = img_shape[:2]
    limit = boxes.new_tensor([width, height, width, height])
    return torch.minimum(boxes.clamp(min=0), limit)
