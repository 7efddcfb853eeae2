"""Boxes, masks, labels and scores drawn onto a photograph."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from swin_dense.visualization.palette import class_colour, readable_on
from swin_dense.visualization.text import put_text, text_size

_MASK_OPACITY = 0.42
_CHIP_OPACITY = 0.88
# Of a mask, tinted at a time.
_ROWS = 256
# Grey level that a repeated class's tint is mixed with, and how much.
_SHADES = ((0, 0.0), (255, 0.4), (0, 0.35))


class InstanceArrays(NamedTuple):
    """Instances as NumPy arrays, whatever held them before.

    Attributes:
        bboxes: (N, 4), x0 y0 x1 y1 in pixels.
        labels: (N,), indices into the classes.
        scores: (N,), or None for ground truth.
        masks: (N, H, W) bool, or what yields them in parts, as
            `swin_dense.detection.masks.BoxMasks` does; or None.
    """

    bboxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None
    masks: Any

    @classmethod
    def read(cls, instances: Any) -> 'InstanceArrays':
        """From an `InstanceData` or anything with the same attributes."""
        masks = getattr(instances, 'masks', None)
        if not hasattr(masks, 'parts'):
            masks = _array(masks)
            masks = None if masks is None else masks.astype(bool)
        return cls(
            bboxes=_array(instances.bboxes).astype(np.float64).reshape(-1, 4),
            labels=_array(instances.labels).astype(int),
            scores=_array(getattr(instances, 'scores', None)),
            masks=masks,
        )

    def keep(self, chosen: np.ndarray) -> 'InstanceArrays':
        """The instances of an index or a boolean array, in its order."""
        return InstanceArrays(
            *(None if field is None else field[chosen] for field in self)
        )

    def resized(
        self, size: tuple[int, int], factor: float
    ) -> 'InstanceArrays':
        """For the same image at another (width, height)."""
        masks = self.masks
        if hasattr(masks, 'parts'):
            masks = masks.resized(size, factor)
        elif masks is not None:
            masks = np.array(
                [
                    cv2.resize(mask.astype(np.float32), size) > 0.5
                    for mask in masks
                ]
            ).reshape(len(masks), size[1], size[0])
        return self._replace(bboxes=self.bboxes * factor, masks=masks)


def draw_instances(
    image: np.ndarray,
    instances: Any,
    classes: Sequence[str],
    score_thr: float = 0.3,
) -> np.ndarray:
    """Draw instances: translucent masks with outlines, boxes and labels.

    Line widths and text follow the size of the image. Labels stay inside it
    and give way to each other, the highest score first.

    Args:
        image: (H, W, 3) uint8, BGR. It is left as it is.
        instances: `InstanceData` with `bboxes` (N, 4) in pixels of `image`,
            `labels`, and optionally `scores` and `masks` (N, H, W).
        classes: Names, in the order of the labels.
        score_thr: Predictions below it are left out.

    Returns:
        A new picture of the image's shape.

    Raises:
        ValueError: If the masks are not of the image's size, or a label has
            no name.
    """
    found = InstanceArrays.read(instances)
    _check(image, found, classes)
    if found.scores is not None:
        found = found.keep(found.scores >= score_thr)
    # Small instances over large ones, so that nothing is buried.
    extent = (found.bboxes[:, 2:] - found.bboxes[:, :2]).prod(axis=1)
    found = found.keep(np.argsort(-extent, kind='stable'))

    picture = image.copy()
    unit = np.sqrt(image.shape[0] * image.shape[1])
    width = max(1, round(unit / 320))
    if found.masks is not None:
        _draw_masks(picture, found, max(1, round(unit / 400)))
    for box, label in zip(found.bboxes, found.labels):
        corners = [tuple(map(int, np.round(xy))) for xy in (box[:2], box[2:])]
        # Beside an outlined mask, a heavy box would only hide the object.
        line = width if found.masks is None else max(1, width // 2)
        cv2.rectangle(picture, *corners, class_colour(label), line)
    _draw_labels(picture, found, classes, int(np.clip(unit / 38, 9, 40)))
    return picture


def _array(value: Any) -> np.ndarray | None:
    """A tensor, a host's box or mask container, or an array, as an array."""
    if value is None:
        return None
    if hasattr(value, 'to_ndarray'):  # the host's bitmaps and polygons
        return value.to_ndarray()
    value = getattr(value, 'tensor', value)  # the host's boxes
    return np.asarray(value.detach().cpu() if hasattr(value, 'cpu') else value)


def _check(
    image: np.ndarray, found: InstanceArrays, classes: Sequence[str]
) -> None:
    """Refuse what cannot be drawn where it belongs."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            'an image to draw on must be (H, W, 3) and uint8, got '
            f'{image.shape} and {image.dtype}; convert grey images by '
            'cv2.cvtColor'
        )
    if found.masks is not None and found.masks.shape[1:] != image.shape[:2]:
        raise ValueError(
            f'masks are {found.masks.shape[1:]}, the image is '
            f'{image.shape[:2]} (height, width); rescale the predictions to '
            'the image first'
        )
    if len(found.labels) and found.labels.max() >= len(classes):
        raise ValueError(
            f'label {found.labels.max()} has no name among '
            f'{len(classes)} classes: {list(classes)}'
        )


def _draw_masks(
    picture: np.ndarray, found: InstanceArrays, width: int
) -> None:
    """Tint each mask's pixels, then outline it.

    Neighbours of one class take turns in light and dark tints.
    """
    turns = np.zeros(found.labels.max(initial=0) + 1, int)
    for index, label in enumerate(found.labels):
        grey, share = _SHADES[turns[label] % len(_SHADES)]
        turns[label] += 1
        colour = np.multiply(class_colour(label), 1 - share) + grey * share
        for place, mask in _parts(found.masks, index):
            region = picture[place]
            tint = region[mask] * (1 - _MASK_OPACITY) + colour * _MASK_OPACITY
            region[mask] = (tint + 0.5).astype(np.uint8)
    whole = np.zeros(picture.shape[:2], np.uint8)
    for index, label in enumerate(found.labels):
        whole[:] = 0
        for place, mask in _parts(found.masks, index):
            whole[place] = mask
        outline, _ = cv2.findContours(
            whole, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(
            picture, outline, -1, class_colour(label), width, cv2.LINE_AA
        )


def _parts(masks: Any, index: int) -> Iterator[tuple[Any, np.ndarray]]:
    """Yield places in the image, and which of their pixels are of a mask."""
    if hasattr(masks, 'parts'):
        yield from masks.parts(index)
        return
    for top in range(0, masks.shape[1], _ROWS):
        place = slice(top, top + _ROWS), slice(None)
        yield place, masks[index][place]


def _draw_labels(
    picture: np.ndarray,
    found: InstanceArrays,
    classes: Sequence[str],
    size: int,
) -> None:
    """Write class and score on a chip at each box."""
    order = range(len(found.labels))
    if found.scores is not None:
        order = np.argsort(-found.scores, kind='stable')
    taken: list[tuple[int, int, int, int]] = []
    pad = max(2, size // 4)
    for i in order:
        text = str(classes[found.labels[i]])
        if found.scores is not None:
            text += f' {found.scores[i]:.2f}'
        width, height = text_size(text, size)
        chip = _place(
            found.bboxes[i],
            (width + 2 * pad, height + pad),
            picture.shape,
            taken,
        )
        taken.append(chip)
        colour = class_colour(found.labels[i])
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
    """The place at a box where a chip covers other chips the least.

    Above the box if it can, else inside or below; never outside the image.
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
        # A chip pushed back into the image is less good than one that fits.
        cost = sum(_overlap(place, other) for other in taken) + abs(moved - y)
        if cost < least:
            best, least = place, cost
    return best


def _overlap(one: Sequence[int], other: Sequence[int]) -> int:
    """The common area of two rectangles in square pixels."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)
