"""Pseudo boxes: how sure a box is, and its place in another view."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmdet.structures.bbox import bbox_project
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional


def jittered(boxes: Tensor, times: int, scale: float) -> Tensor:
    """Return copies of boxes with moved sides (Soft Teacher, section 3.3).

    Each coordinate moves by a normal random number, times `scale`, times the
    width or height of the box.

    Args:
        boxes: Boxes `(n, 4)` in pixels.
        times: Copies of each box.
        scale: Standard deviation, in widths or heights of the box.

    Returns:
        Boxes `(times, n, 4)`.
    """
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1).repeat(1, 2)  # (n, 4)
    noise = torch.randn(times, *boxes.shape, device=boxes.device)
    return boxes + noise * sides * scale


def uncertainty(
    roi_head: Any,
    x: Sequence[Tensor],
    semantic: dict[str, Tensor],
    samples: Sequence[Any],
    instances: Sequence[InstanceData],
    times: int,
    scale: float,
) -> list[Tensor]:
    """Return how much boxes scatter that start from jittered copies.

    The whole RoI head regresses the copies, in a cascade stage after stage. A
    head that has a box for each class gives that of the predicted class.

    Args:
        roi_head: RoI head of the teacher.
        x: Pyramid of maps `(B, C, H_i, W_i)` of its view.
        semantic: Result of `semantic_features` for it.
        samples: Information on each image, in `metainfo`.
        instances: Pseudo boxes and labels of each image.
        times: Copies of each box.
        scale: See `jittered`.

    Returns:
        For each image, a number `(n, )` for each box: the standard deviation
        over the copies, divided by the width or height of the mean box, at
        least a pixel; the mean over the four coordinates.
    """
    copies = [
        InstanceData(bboxes=jittered(each.bboxes, times, scale).flatten(0, 1))
        for each in instances
    ]  # (times * n, 4)
    if not sum(map(len, copies)):
        return [each.bboxes.new_zeros(0) for each in instances]
    # Without settings of a test, mmdet returns the boxes of all classes.
    found = roi_head.predict_bbox(
        x,
        [sample.metainfo for sample in samples],
        copies,
        rcnn_test_cfg=None,
        rescale=False,
        **semantic,
    )
    return [
        _scatter(result.bboxes, each.labels, times)
        for result, each in zip(found, instances)
    ]


def _scatter(boxes: Tensor, labels: Tensor, times: int) -> Tensor:
    """Return the uncertainty of boxes `(times * n, 4 or 4 * classes)`."""
    count = len(labels)
    # No -1 among the sizes: an image may have no boxes.
    shape = (times, count, boxes.shape[1] // 4, 4)
    boxes = boxes.reshape(shape)  # (times, n, classes, 4)
    classes = labels if boxes.shape[2] > 1 else torch.zeros_like(labels)
    boxes = boxes[:, torch.arange(count), classes]  # (times, n, 4)
    mean = boxes.mean(dim=0)
    sides = (mean[:, 2:] - mean[:, :2]).clamp(min=1).repeat(1, 2)
    return (boxes.std(dim=0) / sides).mean(dim=1)


def between_views(source: Any, target: Any, like: Tensor) -> Tensor:
    """Return the matrix `(3, 3)` that maps points of a view to another.

    Args:
        source: Sample of the first view, with `homography_matrix`, the
            matrix from the image file to the view. A view that no transform
            has changed has none.
        target: Sample of the other view.
        like: Tensor whose device the matrix gets.
    """
    to_source, to_target = (
        torch.as_tensor(
            view.get('homography_matrix', np.eye(3)),
            dtype=torch.float64,
            device=like.device,
        )
        for view in (source, target)
    )
    return (to_target @ to_source.inverse()).to(torch.float32)


def moved(
    instances: InstanceData, matrix: Tensor, shape: tuple[int, int]
) -> InstanceData:
    """Return pseudo boxes, and masks, in another view of the image.

    A box becomes the box around its four corners, cut off at the border.

    Args:
        instances: `bboxes`, `masks` `(n, H, W)` if there are any, and fields
            that stay as they are.
        matrix: Matrix `(3, 3)` to the view, see `between_views`.
        shape: (height, width) of the view in pixels.

    Returns:
        The same fields; `masks` as mmdet's BitmapMasks.
    """
    result = instances.clone()
    result.bboxes = bbox_project(instances.bboxes, matrix, shape)
    if 'masks' in instances:
        masks = warped(instances.masks, matrix, shape)
        result.pop('masks')
        result.masks = BitmapMasks(masks.cpu().numpy(), *shape)
    return result


def warped(masks: Tensor, matrix: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return masks in another view, bilinear and cut at one half.

    Args:
        masks: Masks `(n, H, W)` of type bool.
        matrix: Matrix `(3, 3)` that maps points to the view.
        shape: (height, width) of the view in pixels.

    Returns:
        Masks `(n, height, width)` of type uint8; 0 outside of the source.
    """
    height, width = shape
    like: dict[str, Any] = dict(dtype=torch.float32, device=masks.device)
    y, x = torch.meshgrid(
        torch.arange(height, **like) + 0.5,
        torch.arange(width, **like) + 0.5,
        indexing='ij',
    )
    points = torch.stack([x, y, torch.ones_like(x)], dim=-1)  # (H, W, 3)
    points = points @ matrix.inverse().to(**like).T
    points = points[..., :2] / points[..., 2:]
    size = torch.tensor(masks.shape[:0:-1], **like)  # (width, height)
    grid = points / size * 2 - 1  # -1 and 1 are the outer sides of pixels
    values = functional.grid_sample(
        masks[None].float(), grid[None], align_corners=False
    )[0]
    return (values >= 0.5).to(torch.uint8)
