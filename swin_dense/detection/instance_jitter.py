"""Moving the objects of an image a little, each on its own.

After InstaBoost (arXiv 1908.07801), random jittering: an object is cut out,
slightly shifted, scaled and turned, and put back; what it uncovers is
inpainted. Its library has had no release since 2019, so this is our own, on
OpenCV. It works on masks instead of polygons, so that boxes, masks and label
maps stay exact. Not taken over are the search for a better place by
appearance, and changes of colour.

H and W are the height and width of the image in pixels; K counts its objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.structures.bbox import BaseBoxes
from mmdet.structures.mask import BitmapMasks

from swin_dense.registry import TRANSFORMS

# Pixels around a vacated place that show remains of the object.
HALO = 3
# Longer side of the copy that is inpainted, in pixels, and how far a pixel of
# it looks.
INPAINT_SIDE = 320
INPAINT_RADIUS = 3
IGNORED = 255


@dataclass
class _Moved:
    """An object at its new place.

    Attributes:
        index: Which object it is.
        matrix: Affine map `(2, 3)` from old to new coordinates in pixels.
        mask: Where it is now, `(H, W)`, bool.
    """

    index: int
    matrix: np.ndarray
    mask: np.ndarray


@TRANSFORMS.register_module()
class InstanceJitter(BaseTransform):
    """Shift, scale and turn each object of an image a little.

    Comes after `LoadAnnotations(with_bbox=True, with_mask=True)` and before
    the image is resized. Objects are put back from the largest to the
    smallest, so that the larger are behind. An object stays where it is if it
    is to be ignored, or if the new place would hide more than `max_hidden` of
    another one. Boxes of objects that were moved or partly hidden are those
    of their masks.

    In a label map, the object's pixels move along, and those that it uncovers
    are ignored.

    Args:
        prob: Share of images that are changed.
        shift: Largest shift, in widths and heights of the object's box.
        scale: Smallest and largest factor of its size.
        angle: Largest turn to either side, in degrees.
        max_hidden: Largest part of another object that may be hidden.

    Raises:
        ValueError: An argument is out of range, or masks were not loaded as
            bitmaps.
    """

    def __init__(
        self,
        prob: float = 0.5,
        shift: float = 1 / 15,
        scale: Sequence[float] = (0.8, 1.2),
        angle: float = 1.0,
        max_hidden: float = 0.3,
    ) -> None:
        if not 0 <= prob <= 1 or not 0 <= max_hidden < 1:
            raise ValueError(
                f'{prob=} must be in [0, 1] and {max_hidden=} in [0, 1)'
            )
        if shift < 0 or angle < 0 or not 0 < scale[0] <= scale[1]:
            raise ValueError(
                f'{shift=} and {angle=} must not be negative, and {scale=} '
                'must be (smallest, largest) factors above 0'
            )
        self.prob = prob
        self.shift = shift
        self.scale = tuple(scale)
        self.angle = angle
        self.max_hidden = max_hidden

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change `img`, `gt_masks`, `gt_bboxes` and `gt_seg_map`."""
        masks = results.get('gt_masks')
        if not isinstance(masks, BitmapMasks):
            raise ValueError(
                'InstanceJitter needs masks as bitmaps, got '
                f'{type(masks).__name__}: put it after LoadAnnotations(with_'
                'mask=True, poly2mask=True)'
            )
        if np.random.random() >= self.prob or not len(masks):
            return results
        old = masks.masks.astype(bool)
        moved, new = self._move(old, results['gt_ignore_flags'])
        if not moved:
            return results
        results['img'] = _redraw(results['img'], old, moved)
        if results.get('gt_seg_map') is not None:
            results['gt_seg_map'] = _relabel(results['gt_seg_map'], old, moved)
        results['gt_masks'] = BitmapMasks(new.astype(np.uint8), *new.shape[1:])
        results['gt_bboxes'] = _fit(results['gt_bboxes'], old, new)
        return results

    def _move(
        self, masks: np.ndarray, ignored: np.ndarray
    ) -> tuple[list[_Moved], np.ndarray]:
        """Find new places for objects `(K, H, W)`.

        Returns:
            The objects that move, from back to front, and the masks of what
            is visible then of all, `(K, H, W)`.
        """
        areas = masks.sum((1, 2))
        visible, left = masks.copy(), areas.copy()
        moved = []
        for index in np.argsort(-areas, kind='stable'):
            if ignored[index] or not areas[index]:
                continue
            matrix = self._jitter(masks[index])
            mask = (
                cv2.warpAffine(
                    masks[index] * np.float32(1), matrix, masks.shape[:0:-1]
                )
                > 0.5
            )
            rows, columns = _place(mask)
            here = mask[rows, columns]
            after = left - (visible[:, rows, columns] & here).sum((1, 2))
            after[index] = areas[index]
            # Not out of the image, nor over others.
            if not here.any() or (after < (1 - self.max_hidden) * areas).any():
                continue
            visible[:, rows, columns] &= ~here
            visible[index] = mask
            left = after
            left[index] = areas[index] = here.sum()
            moved.append(_Moved(int(index), matrix, mask))
        return moved, visible

    def _jitter(self, mask: np.ndarray) -> np.ndarray:
        """Affine map `(2, 3)` about the centre of a mask's box."""
        x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
        centre = (x + (width - 1) / 2, y + (height - 1) / 2)
        angle = np.random.uniform(-self.angle, self.angle)
        matrix = cv2.getRotationMatrix2D(
            centre, angle, np.random.uniform(*self.scale)
        )
        shift = np.random.uniform(-self.shift, self.shift, 2)
        matrix[:, 2] += shift * (width, height)
        return matrix

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(prob={self.prob}, shift={self.shift}, '
            f'scale={self.scale}, angle={self.angle}, '
            f'max_hidden={self.max_hidden})'
        )


def _place(mask: np.ndarray, margin: int = 0) -> tuple[slice, slice]:
    """Rows and columns of the box of a mask `(H, W)`, and of a margin."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return (
        slice(max(0, y - margin), y + height + margin),
        slice(max(0, x - margin), x + width + margin),
    )


def _vacated(masks: np.ndarray, moved: Sequence[_Moved]) -> np.ndarray:
    """Pixels `(H, W)` that objects have left and none has taken."""
    left = masks[[one.index for one in moved]].any(0)
    return left & ~np.any([one.mask for one in moved], axis=0)


def _without(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The image `(H, W, 3)` inpainted where a mask is, without detail.

    Only its narrow edges are to be seen, so it is made from a small copy.
    """
    size = image.shape[1::-1]
    small = tuple(
        max(1, round(side * INPAINT_SIDE / max(size))) for side in size
    )
    if max(size) <= INPAINT_SIDE:
        small = size
    cover = cv2.resize(
        mask * np.float32(1), small, interpolation=cv2.INTER_AREA
    )
    filled = cv2.inpaint(
        cv2.resize(image, small, interpolation=cv2.INTER_AREA),
        (cover > 0).view(np.uint8),
        INPAINT_RADIUS,
        cv2.INPAINT_TELEA,
    )
    return cv2.resize(filled, size)


def _redraw(
    image: np.ndarray, masks: np.ndarray, moved: Sequence[_Moved]
) -> np.ndarray:
    """The image `(H, W, 3)` with objects at their new places."""
    hole = cv2.dilate(
        _vacated(masks, moved).view(np.uint8),
        np.ones((2 * HALO + 1, 2 * HALO + 1), np.uint8),
    ).astype(bool)
    going = np.isin(np.arange(len(masks)), [one.index for one in moved])
    hole &= ~masks[~going].any(0)
    background = _without(image, masks[going].any(0) | hole)
    canvas = np.where(hole[..., None], background, image)
    for one in moved:
        # The outline is soft, a pixel beyond the mask.
        rows, columns = _place(one.mask, 1)
        part = canvas[rows, columns]
        matrix = one.matrix - [[0, 0, columns.start], [0, 0, rows.start]]
        size = part.shape[1::-1]
        soft = cv2.warpAffine(masks[one.index] * np.float32(1), matrix, size)[
            ..., None
        ]
        piece = cv2.warpAffine(
            image, matrix, size, borderMode=cv2.BORDER_REPLICATE
        )
        part[...] = np.round(soft * piece + (1 - soft) * part)
    return canvas


def _relabel(
    labels: np.ndarray, masks: np.ndarray, moved: Sequence[_Moved]
) -> np.ndarray:
    """The label map `(H, W)` with objects at their new places."""
    new = labels.copy()
    new[_vacated(masks, moved)] = IGNORED
    for one in moved:
        # What most of the object is labelled as.
        new[one.mask] = np.bincount(labels[masks[one.index]]).argmax()
    return new


def _fit(boxes: BaseBoxes, old: np.ndarray, new: np.ndarray) -> BaseBoxes:
    """Boxes of masks `(K, H, W)`, for objects whose mask has changed."""
    boxes = boxes.clone()
    for index in np.flatnonzero((old != new).any((1, 2))):
        x, y, width, height = cv2.boundingRect(new[index].view(np.uint8))
        boxes.tensor[index] = boxes.tensor.new_tensor(
            [x, y, x + width, y + height]
        )
    return boxes
