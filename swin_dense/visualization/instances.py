"""Draw boxes, masks, labels and scores into an image."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from swin_dense.visualization.chips import SMALLEST, draw_chip, place_chips
from swin_dense.visualization.palette import (
    Colour,
    colours,
    instance_colour,
)

_MASK_OPACITY = 0.42
_NO_TRACK = (160, 160, 160)  # the colour of an instance without an id
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
        track_ids: Ids of the objects in a video (N,), -1 for instances of no
            track; or None.
    """

    bboxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None
    masks: Any
    track_ids: np.ndarray | None = None

    @classmethod
    def read(cls, instances: Any) -> 'InstanceArrays':
        """Convert `InstanceData`, or an object with the same attributes."""
        masks = getattr(instances, 'masks', None)
        scores = getattr(instances, 'scores', None)
        track_ids = getattr(instances, 'track_ids', None)
        if masks is not None and not hasattr(masks, 'parts'):
            masks = _array(masks).astype(bool)
        boxes = _array(instances.bboxes).astype(np.float64)
        return cls(
            bboxes=boxes.reshape(-1, 4),  # (N, 4)
            labels=_array(instances.labels).astype(int),
            scores=None if scores is None else _array(scores),
            masks=masks,
            track_ids=None if track_ids is None else _array(track_ids),
        )

    def keep(self, chosen: np.ndarray) -> 'InstanceArrays':
        """Return the instances of an index array or a boolean array."""
        return InstanceArrays(
            self.bboxes[chosen],
            self.labels[chosen],
            None if self.scores is None else self.scores[chosen],
            None if self.masks is None else self.masks[chosen],
            None if self.track_ids is None else self.track_ids[chosen],
        )

    def visible(self, score_thr: float) -> 'InstanceArrays':
        """Return the instances to draw, highest score first.

        Args:
            score_thr: Least score; instances of a track have any score.
        """
        if self.scores is None:
            return self
        order = np.argsort(-self.scores, kind='stable')
        is_visible = self.scores >= score_thr
        if self.track_ids is not None:
            is_visible |= self.track_ids >= 0
        return self.keep(order[is_visible[order]])

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
    *,
    labels: bool = True,
    masks: bool = True,
    colour_by: str = 'instance',
    palette: Sequence[Sequence[int]] | None = None,
) -> np.ndarray:
    """Draw instances: translucent masks with outlines, boxes and labels.

    Line widths and text size follow the size of the image. Labels stay inside
    the image. Instances with higher scores get their place first; the others
    avoid their labels, with smaller letters if needed, and have none where
    there is no room.

    Args:
        image: (H, W, 3) uint8, BGR. It is not changed.
        instances: `InstanceData` with `bboxes` (N, 4) in pixels of `image`,
            `labels` (N,), and optionally `scores` (N,), `masks` (N, H, W)
            and `track_ids` (N,).
        classes: Class names in label order.
        score_thr: Predictions with a lower score are left out, but those of
            a track.
        labels: If False, ids, class names and scores are left out.
        masks: If False, masks are left out.
        colour_by: 'instance' for a colour for each instance, or for each id;
            'class' for a colour for each class, in tints that take turns.
        palette: Colours of the classes as (red, green, blue), for 'class';
            those of `class_colour` if None.

    Returns:
        A new picture of the image's shape.

    Raises:
        ValueError: If the image is not (H, W, 3) uint8, the masks have
            another size than the image, a label has no name, or `colour_by`
            has another value.
    """
    shown = InstanceArrays.read(instances)
    _check(image, shown, classes)
    shown = shown.visible(score_thr)
    tints, lines = _choose_colours(
        shown.labels, shown.track_ids, colour_by, palette
    )
    # Small instances are drawn over large ones, so that all can be seen.
    extent = (shown.bboxes[:, 2:] - shown.bboxes[:, :2]).prod(axis=1)
    order = np.argsort(-extent, kind='stable')

    picture = image.copy()
    unit = np.sqrt(image.shape[0] * image.shape[1])
    width = max(1, round(unit / 320))
    if masks and shown.masks is not None:
        _draw_masks(
            picture,
            shown.masks,
            order,
            tints,
            lines,
            max(1, round(unit / 400)),
        )
        # Beside an outlined mask, a thick box would only hide the object.
        width = max(1, width // 2)
    for index in order:
        x0, y0, x1, y1 = (int(np.round(e)) for e in shown.bboxes[index])
        cv2.rectangle(picture, (x0, y0), (x1, y1), lines[index], width)
    if labels:
        size = int(np.clip(unit / 36, SMALLEST, 40))
        texts = [str(classes[label]) for label in shown.labels]
        if shown.scores is not None:
            texts = [f'{a} {b:.2f}' for a, b in zip(texts, shown.scores)]
        if shown.track_ids is not None:
            texts = [
                text if number < 0 else f'#{number} {text}'
                for number, text in zip(shown.track_ids, texts)
            ]
        chips = place_chips(shown.bboxes, texts, image.shape[:2], size)
        for chip, colour in zip(chips, lines):
            if chip is not None:
                draw_chip(picture, chip, colour)
    return picture


def _choose_colours(
    labels: np.ndarray,
    track_ids: np.ndarray | None,
    colour_by: str,
    palette: Sequence[Sequence[int]] | None,
) -> tuple[list[Colour], list[Colour]]:
    """Return the colour of each mask, and of each outline and label.

    Args:
        labels: Indices into the classes (N,).
        track_ids: Ids of the objects (N,), -1 for none; or None.
        colour_by: See `draw_instances`.
        palette: See `draw_instances`.

    Raises:
        ValueError: If `colour_by` has another value.
    """
    if colour_by == 'instance':
        if track_ids is None:
            lines = [instance_colour(index) for index in range(len(labels))]
        else:
            lines = [
                _NO_TRACK if number < 0 else instance_colour(number - 1)
                for number in track_ids
            ]
        return lines, lines
    if colour_by != 'class':
        raise ValueError(
            f"colour_by must be 'instance' or 'class', got {colour_by!r}"
        )
    table = colours(labels.max(initial=-1) + 1, palette)
    lines = [table[label] for label in labels]
    tints, turns = [], [0] * len(table)
    for label, line in zip(labels, lines):
        grey, share = _SHADES[turns[label] % len(_SHADES)]
        turns[label] += 1
        blue, green, red = (
            round(channel * (1 - share) + grey * share) for channel in line
        )
        tints.append((blue, green, red))
    return tints, lines


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
    picture: np.ndarray,
    masks: Any,
    order: np.ndarray,
    tints: Sequence[Colour],
    lines: Sequence[Colour],
    width: int,
) -> None:
    """Tint the pixels of all masks, then draw the outlines.

    Args:
        picture: The image, in which is drawn.
        masks: Masks of N instances.
        order: Order of drawing (N,).
        tints: Colours of the masks.
        lines: Colours of the outlines.
        width: Width of the outlines in pixels.
    """
    for index in order:
        colour = np.array(tints[index])
        for place, mask in _parts(masks, index):
            region = picture[place]
            tint = region[mask] * (1 - _MASK_OPACITY) + colour * _MASK_OPACITY
            region[mask] = (tint + 0.5).astype(np.uint8)
    whole = np.zeros(picture.shape[:2], np.uint8)
    for index in order:
        whole[:] = 0
        for place, mask in _parts(masks, index):
            whole[place] = mask
        outline, _ = cv2.findContours(
            whole, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(
            picture, outline, -1, lines[index], width, cv2.LINE_AA
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
