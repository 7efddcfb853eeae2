"""Move each object of an image a little (InstaBoost).

This is the random jittering of InstaBoost (arXiv 1908.07801): an object is
cut out, slightly shifted, scaled and rotated, and pasted back, and the pixels
that it uncovers are inpainted. InstaBoost's own library has had no release
since 2019, so this is a new implementation on OpenCV. It works on masks
instead of polygons, which keeps boxes, masks and label maps exact. The search
for a better place by appearance, and changes of colour, are left out.

H and W are the height and width of the image in pixels, K is the number of
its objects.
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

# Width in pixels of the border around an uncovered region that may show
# remains of the object.
HALO = 3
# Longer side of the copy that is inpainted, in pixels, and OpenCV's radius.
INPAINT_SIDE = 320
INPAINT_RADIUS = 3
IGNORED = 255


@dataclass
class _Moved:
    """An object at its new place.

    Attributes:
        index: Index of the object in the image.
        matrix: Affine map `(2, 3)` from old to new coordinates in pixels.
        mask: New mask `(H, W)`, bool.
    """

    index: int
    matrix: np.ndarray
    mask: np.ndarray


@TRANSFORMS.register_module()
class InstanceJitter(BaseTransform):
    """Shift, scale and rotate each object of an image a little.

    Place it after `LoadAnnotations(with_bbox=True, with_mask=True)` and
    before the image is resized. Objects are pasted from the largest to the
    smallest, so that larger ones are behind. An object is not moved if it is
    ignored in training, or if its new place would hide more than `max_hidden`
    of another object. Objects that are moved or partly hidden get the
    bounding boxes of their new masks.

    In a label map, an object's pixels move with it, and the pixels that it
    uncovers are set to 255, ignored.

    Args:
        prob: Share of images that are changed.
        shift: Largest shift, in widths and heights of the object's box.
        scale: Smallest and largest factor of the object's size.
        angle: Largest rotation to either side, in degrees.
        max_hidden: Largest share of another object that may be hidden.

    Raises:
        ValueError: If an argument is out of range, or masks were not loaded
            as bitmaps.
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
        """Move the objects in `img` and its annotations.

        Args:
            results: `img` (H, W, 3), `gt_masks` as bitmaps (K, H, W),
                `gt_bboxes` (K, 4), `gt_ignore_flags` (K,), and optionally
                `gt_seg_map` (H, W).

        Returns:
            The same dict with new images, masks, boxes and label map.

        Raises:
            ValueError: If the masks are not bitmaps.
        """
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
        """Choose new places for objects.

        Args:
            masks: Masks `(K, H, W)`, bool.
            ignored: True for objects that are ignored in training `(K,)`.

        Returns:
            The objects that move, from back to front, and the masks of the
            visible parts of all objects afterwards `(K, H, W)`.
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
            # Keep the object if it would leave the image or hide another.
            if not here.any() or (after < (1 - self.max_hidden) * areas).any():
                continue
            visible[:, rows, columns] &= ~here
            visible[index] = mask
            left = after
            left[index] = areas[index] = here.sum()
            moved.append(_Moved(int(index), matrix, mask))
        return moved, visible

    def _jitter(self, mask: np.ndarray) -> np.ndarray:
        """Draw a random affine map `(2, 3)` about the centre of a mask."""
        x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
        centre = (x + (width - 1) / 2, y + (height - 1) / 2)
        angle = np.random.uniform(-self.angle, self.angle)
        smallest, largest = self.scale
        matrix = cv2.getRotationMatrix2D(
            centre, angle, np.random.uniform(smallest, largest)
        )
        shift = np.random.uniform(-self.shift, self.shift, 2)
        matrix[:, 2] += shift * np.array([width, height])
        return matrix

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(prob={self.prob}, shift={self.shift}, '
            f'scale={self.scale}, angle={self.angle}, '
            f'max_hidden={self.max_hidden})'
        )


def _place(mask: np.ndarray, margin: int = 0) -> tuple[slice, slice]:
    """Return rows and columns of a mask's box `(H, W)`, with a margin."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return (
        slice(max(0, y - margin), y + height + margin),
        slice(max(0, x - margin), x + width + margin),
    )


def _vacated(masks: np.ndarray, moved: Sequence[_Moved]) -> np.ndarray:
    """Return the uncovered pixels `(H, W)`: left by objects, not taken."""
    left = masks[[obj.index for obj in moved]].any(0)
    return left & ~np.any([obj.mask for obj in moved], axis=0)


def _without(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Inpaint an image `(H, W, 3)` under a mask, without detail.

    Only narrow borders of the inpainted regions stay visible, so a small copy
    of the image is inpainted and enlarged.
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
    """Return the image `(H, W, 3)` with objects at their new places."""
    hole = cv2.dilate(
        _vacated(masks, moved).view(np.uint8),
        np.ones((2 * HALO + 1, 2 * HALO + 1), np.uint8),
    ).astype(bool)
    going = np.isin(np.arange(len(masks)), [obj.index for obj in moved])
    hole &= ~masks[~going].any(0)
    background = _without(image, masks[going].any(0) | hole)
    canvas = np.where(hole[..., None], background, image)
    for obj in moved:
        # The soft outline reaches one pixel beyond the mask.
        rows, columns = _place(obj.mask, 1)
        part = canvas[rows, columns]
        matrix = obj.matrix - [[0, 0, columns.start], [0, 0, rows.start]]
        size = part.shape[1::-1]
        soft = cv2.warpAffine(masks[obj.index] * np.float32(1), matrix, size)[
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
    """Return the label map `(H, W)` with objects at their new places."""
    new = labels.copy()
    new[_vacated(masks, moved)] = IGNORED
    for obj in moved:
        # The most frequent label in the object's old mask.
        new[obj.mask] = np.bincount(labels[masks[obj.index]]).argmax()
    return new


def _fit(boxes: BaseBoxes, old: np.ndarray, new: np.ndarray) -> BaseBoxes:
    """Return boxes `(K, 4)`, updated for objects whose mask has changed.

    Args:
        boxes: Boxes before the move.
        old: Masks before the move `(K, H, W)`.
        new: Masks of the visible parts after the move `(K, H, W)`.
    """
    boxes = boxes.clone()
    for index in np.flatnonzero((old != new).any((1, 2))):
        x, y, width, height = cv2.boundingRect(new[index].view(np.uint8))
        boxes.tensor[index] = boxes.tensor.new_tensor(
            [x, y, x + width, y + height]
        )
    return boxes
