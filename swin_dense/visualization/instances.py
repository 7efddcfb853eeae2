"""Draw boxes, masks, labels and scores into an image."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from swin_dense.visualization.palette import class_colour, readable_on
from swin_dense.visualization.text import put_text, text_size

_MASK_OPACITY = 0.42
_CHIP_OPACITY = 0.88
_ROWS = 256  # rows of a mask that are tinted at a time, to save memory
# Grey level and its share in the tints of a class, which neighbours take in
# turn.
_SHADES = ((0, 0.0), (255, 0.4), (0, 0.35))


class InstanceArrays(NamedTuple):
    """Instances as NumPy arrays.

    Attributes:
        bboxes: Boxes (N, 4) as x0 y0 x1 y1 in pixels.
        labels: Indices into the classes (N,).
        scores: Scores (N,), or None for ground truth.
        masks: Masks (N, H, W) bool; an object that yields masks in parts, as
            `swin_dense.detection.masks.BoxMasks` does; or None.
    """

    bboxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None
    masks: Any

    @classmethod
    def read(cls, instances: Any) -> 'InstanceArrays':
        """Convert `InstanceData`, or an object with the same attributes."""
        masks = getattr(instances, 'masks', None)
        scores = getattr(instances, 'scores', None)
        if masks is not None and not hasattr(masks, 'parts'):
            masks = _array(masks).astype(bool)
        boxes = _array(instances.bboxes).astype(np.float64)
        return cls(
            bboxes=boxes.reshape(-1, 4),  # (N, 4)
            labels=_array(instances.labels).astype(int),
            scores=None if scores is None else _array(scores),
            masks=masks,
        )

    def keep(self, chosen: np.ndarray) -> 'InstanceArrays':
        """Return the instances of an index array or a boolean array."""
        return InstanceArrays(
            self.bboxes[chosen],
            self.labels[chosen],
            None if self.scores is None else self.scores[chosen],
            None if self.masks is None else self.masks[chosen],
        )

    def resized(
        self, size: tuple[int, int], factor: float
    ) -> 'InstanceArrays':
        """Return the instances for a resized image.

        Args:
            size: (width, height) of the resized image in pixels.
            factor: Resized over original side.
        """
        masks = self.masks
        if hasattr(masks, 'parts'):
            masks = masks.resized(size, factor)
        elif masks is not None:
            masks = np.array(
                [
                    cv2.resize(mask.astype(np.float32), size) > 0.5
                    for mask in masks
                ]
            ).reshape(len(masks), size[1], size[0])  # (N, H, W)
        return self._replace(bboxes=self.bboxes * factor, masks=masks)


def draw_instances(
    image: np.ndarray,
    instances: Any,
    classes: Sequence[str],
    score_thr: float = 0.3,
) -> np.ndarray:
    """Draw instances: translucent masks with outlines, boxes and labels.

    Line widths and text size follow the size of the image. Labels stay inside
    the image. Instances with higher scores get their place first, and others
    avoid them.

    Args:
        image: (H, W, 3) uint8, BGR. It is not changed.
        instances: `InstanceData` with `bboxes` (N, 4) in pixels of `image`,
            `labels` (N,), and optionally `scores` (N,) and `masks`
            (N, H, W).
        classes: Class names in label order.
        score_thr: Predictions with a lower score are left out.

    Returns:
        A new picture of the image's shape.

    Raises:
        ValueError: If the image is not (H, W, 3) uint8, the masks have
            another size than the image, or a label has no name.
    """
    shown = InstanceArrays.read(instances)
    _check(image, shown, classes)
    if shown.scores is not None:
        shown = shown.keep(shown.scores >= score_thr)
    # Small instances are drawn over large ones, so that all can be seen.
    extent = (shown.bboxes[:, 2:] - shown.bboxes[:, :2]).prod(axis=1)
    shown = shown.keep(np.argsort(-extent, kind='stable'))

    picture = image.copy()
    unit = np.sqrt(image.shape[0] * image.shape[1])
    width = max(1, round(unit / 320))
    if shown.masks is not None:
        _draw_masks(picture, shown, max(1, round(unit / 400)))
    for box, label in zip(shown.bboxes, shown.labels):
        x0, y0, x1, y1 = (int(np.round(edge)) for edge in box)
        # Beside an outlined mask, a thick box would only hide the object.
        line = width if shown.masks is None else max(1, width // 2)
        cv2.rectangle(picture, (x0, y0), (x1, y1), class_colour(label), line)
    _draw_labels(picture, shown, classes, int(np.clip(unit / 38, 9, 40)))
    return picture


def _array(value: Any) -> np.ndarray:
    """Convert a tensor, or the host's boxes or masks, to an array."""
    if hasattr(value, 'to_ndarray'):  # the host's bitmaps and polygons
        return value.to_ndarray()
    value = getattr(value, 'tensor', value)  # the host's boxes
    return np.asarray(value.detach().cpu() if hasattr(value, 'cpu') else value)


def _check(
    image: np.ndarray, instances: InstanceArrays, classes: Sequence[str]
) -> None:
    """Raise a ValueError if instances cannot be drawn into an image."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            'an image to draw on must be (H, W, 3) and uint8, got '
            f'{image.shape} and {image.dtype}; convert grey images by '
            'cv2.cvtColor'
        )
    masks = instances.masks
    if masks is not None and masks.shape[1:] != image.shape[:2]:
        raise ValueError(
            f'masks are {masks.shape[1:]}, the image is '
            f'{image.shape[:2]} (height, width); rescale the predictions to '
            'the image first'
        )
    if len(instances.labels) and instances.labels.max() >= len(classes):
        raise ValueError(
            f'label {instances.labels.max()} has no name among '
            f'{len(classes)} classes: {list(classes)}'
        )


def _draw_masks(
    picture: np.ndarray, instances: InstanceArrays, width: int
) -> None:
    """Tint the pixels of all masks, then draw the outlines.

    Instances of a class take turns in plain, light and dark tints.
    """
    turns = np.zeros(instances.labels.max(initial=0) + 1, int)
    for index, label in enumerate(instances.labels):
        grey, share = _SHADES[turns[label] % len(_SHADES)]
        turns[label] += 1
        colour = np.multiply(class_colour(label), 1 - share) + grey * share
        for place, mask in _parts(instances.masks, index):
            region = picture[place]
            tint = region[mask] * (1 - _MASK_OPACITY) + colour * _MASK_OPACITY
            region[mask] = (tint + 0.5).astype(np.uint8)
    whole = np.zeros(picture.shape[:2], np.uint8)
    for index, label in enumerate(instances.labels):
        whole[:] = 0
        for place, mask in _parts(instances.masks, index):
            whole[place] = mask
        outline, _ = cv2.findContours(
            whole, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(
            picture, outline, -1, class_colour(label), width, cv2.LINE_AA
        )


def _parts(masks: Any, index: int) -> Iterator[tuple[Any, np.ndarray]]:
    """Yield index ranges of the image, and the pixels of a mask in them.

    Each item is (rows, columns), two slices, and an array (rows, columns) of
    bool.
    """
    if hasattr(masks, 'parts'):
        yield from masks.parts(index)
        return
    for top in range(0, masks.shape[1], _ROWS):
        place = slice(top, top + _ROWS), slice(None)
        yield place, masks[index][place]


def _draw_labels(
    picture: np.ndarray,
    instances: InstanceArrays,
    classes: Sequence[str],
    size: int,
) -> None:
    """Write class and score on a coloured rectangle, a chip, at each box."""
    scores = instances.scores
    order = np.arange(len(instances.labels))
    if scores is not None:
        order = np.argsort(-scores, kind='stable')
    taken: list[tuple[int, int, int, int]] = []
    pad = max(2, size // 4)
    for i in order:
        text = str(classes[instances.labels[i]])
        if scores is not None:
            text += f' {scores[i]:.2f}'
        width, height = text_size(text, size)
        chip = _place(
            instances.bboxes[i],
            (width + 2 * pad, height + pad),
            picture.shape,
            taken,
        )
        taken.append(chip)
        colour = class_colour(instances.labels[i])
        x0, y0, x1, y1 = chip
        region = picture[y0:y1, x0:x1]
        region[:] = cv2.addWeighted(
            region,
            1 - _CHIP_OPACITY,
            np.full_like(region, colour),
            _CHIP_OPACITY,
            0,
        )
        put_text(
            picture, text, (x0 + pad, y0 + pad // 2), size, readable_on(colour)
        )


def _place(
    box: np.ndarray,
    chip: tuple[int, int],
    shape: tuple[int, ...],
    taken: Sequence[tuple[int, ...]],
) -> tuple[int, int, int, int]:
    """Choose the place for a chip at a box that overlaps other chips least.

    A place above the box is preferred to places inside and below it. The chip
    is always inside the image.

    Args:
        box: x0 y0 x1 y1 in pixels.
        chip: Width and height of the chip in pixels.
        shape: Shape of the image, (H, W, 3).
        taken: Chips that are placed already, x0 y0 x1 y1.

    Returns:
        The chip as x0 y0 x1 y1 in pixels.
    """
    width, height = chip
    left, top, right, bottom = (int(round(edge)) for edge in box)
    best, least = (0, 0, 0, 0), np.inf
    for x, y in (
        (left, top - height),
        (left, top),
        (right - width, top),
        (right - width, top - height),
        (left, bottom),
        (left, bottom - height),
        (right - width, bottom - height),
    ):
        moved = y
        x = max(0, min(x, shape[1] - width))
        y = max(0, min(y, shape[0] - height))
        place = (x, y, min(x + width, shape[1]), min(y + height, shape[0]))
        # A chip that must be moved into the image covers part of the box.
        cost = sum(_overlap(place, other) for other in taken) + abs(moved - y)
        if cost < least:
            best, least = place, cost
    return best


def _overlap(first: Sequence[int], second: Sequence[int]) -> int:
    """Return the common area of two rectangles in square pixels."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(width, 0) * max(height, 0)
