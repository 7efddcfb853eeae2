"""Place the labels of instances, as chips, where they hide least.

A chip is a rectangle with text. It shrinks if its box is small or the place
is crowded, moves along the edges of its box, and is left out if it would
cover another chip wherever it is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from swin_dense.visualization.palette import Colour, readable_on
from swin_dense.visualization.text import put_text, text_size

OPACITY = 0.9
SMALLEST = 9  # font height in pixels
_SCALES = (1.0, 0.8, 0.65)  # of the font, the largest that fits is taken
# Share of the image's side from which a box has a label of full size.
_LARGE_BOX = 0.16
# Cost from which a label hides more than it tells.
_WORST = 2.5

Box = tuple[int, int, int, int]


class Chip(NamedTuple):
    """A label and its place.

    Attributes:
        box: x0 y0 x1 y1 in pixels.
        size: Font height in pixels.
        text: One line.
    """

    box: Box
    size: int
    text: str


def place_chips(
    boxes: np.ndarray,
    texts: Sequence[str],
    shape: Sequence[int],
    size: int,
) -> list[Chip | None]:
    """Place the labels of boxes.

    Args:
        boxes: Boxes (N, 4) as x0 y0 x1 y1 in pixels, the most important
            first: the others avoid their labels.
        texts: Label of each box.
        shape: Height and width of the image in pixels.
        size: Font height of a large box in pixels.

    Returns:
        A chip inside the image for each box; None where there is no room.
    """
    chips: list[Chip | None] = []
    taken = np.zeros((0, 4))
    extents = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    large = _LARGE_BOX**2 * shape[0] * shape[1]
    for index, (box, text) in enumerate(zip(boxes, texts)):
        share = float(np.sqrt(max(extents[index], 0) / large))
        wanted = size * np.clip(share, 0.65, 1)
        sizes = [max(SMALLEST, round(wanted * scale)) for scale in _SCALES]
        others = np.delete(boxes, index, axis=0)
        best, least = None, np.inf
        for height in dict.fromkeys(sizes):
            chip, cost = _cheapest(box, text, height, shape, taken, others)
            cost += 1.5 * (1 - height / sizes[0])
            if chip and cost < least:
                best, least = chip, cost
        if least > _WORST and index:
            best = None
        chips.append(best)
        if best:
            taken = np.vstack([taken, best.box])
    return chips


def draw_chip(picture: np.ndarray, chip: Chip, colour: Colour) -> None:
    """Draw a chip with rounded corners, in place.

    Args:
        picture: (H, W, 3) uint8, BGR.
        chip: The chip; it must be inside the picture.
        colour: Colour of the chip as (blue, green, red).
    """
    x0, y0, x1, y1 = chip.box
    region = picture[y0:y1, x0:x1]
    height, width = region.shape[:2]
    radius = min(height, width) // 5
    cover = np.zeros((height, width), np.uint8)
    cv2.rectangle(cover, (radius, 0), (width - 1 - radius, height), 255, -1)
    cv2.rectangle(cover, (0, radius), (width, height - 1 - radius), 255, -1)
    for x in (radius, width - 1 - radius):
        for y in (radius, height - 1 - radius):
            cv2.circle(cover, (x, y), radius, 255, -1, cv2.LINE_AA)
    alpha = cover[..., None] * (OPACITY / 255)  # (h, w, 1)
    region[:] = region * (1 - alpha) + np.array(colour) * alpha + 0.5
    pad = _padding(chip.size)
    put_text(
        picture,
        chip.text,
        (x0 + pad, y0 + pad // 2),
        chip.size,
        readable_on(colour),
    )


def _padding(size: int) -> int:
    """Return the space beside a text in pixels, for its font height."""
    return max(2, size // 3)


def _cheapest(
    box: np.ndarray,
    text: str,
    size: int,
    shape: Sequence[int],
    taken: np.ndarray,
    others: np.ndarray,
) -> tuple[Chip | None, float]:
    """Return the chip of a font height that hides least, and its cost.

    Args:
        box: x0 y0 x1 y1 in pixels.
        text: The label.
        size: Font height in pixels.
        shape: Height and width of the image in pixels.
        taken: Chips that are placed already (M, 4); none may be covered.
        others: Boxes of the other instances (N, 4).
    """
    pad = _padding(size)
    width, height = text_size(text, size)
    width, height = width + 2 * pad, height + pad
    left, top, right, bottom = (int(round(edge)) for edge in box)
    middle = (left + right - width) // 2
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    # A small object that is hidden is lost, of a large one enough is left.
    weights = np.where(areas < 12 * width * height, 1.0, 0.2)
    best, least = None, np.inf
    for rank, (x, y) in enumerate(
        (
            (left, top - height),
            (left, top),
            (middle, top - height),
            (right - width, top - height),
            (right - width, top),
            (middle, top),
            (left, bottom),
            (middle, bottom),
            (right - width, bottom),
            (left, bottom - height),
            (right, top),
            (left - width, top),
        )
    ):
        x0 = max(0, min(x, shape[1] - width))
        y0 = max(0, min(y, shape[0] - height))
        place = (x0, y0, min(x0 + width, shape[1]), min(y0 + height, shape[0]))
        if overlaps(place, taken).any():
            continue
        moved = (abs(x0 - x) + abs(y0 - y)) / height
        hidden = (overlaps(place, others) * weights).sum() / (width * height)
        inside = overlaps(place, box[None])[0] / max(1.0, _area(box))
        cost = 0.05 * rank + moved + hidden + 2 * inside
        if cost < least:
            best, least = Chip(place, size, text), cost
    return best, least


def _area(box: np.ndarray) -> float:
    """Return the area of a box in square pixels."""
    return float((box[2] - box[0]) * (box[3] - box[1]))


def overlaps(box: Sequence[float], others: np.ndarray) -> np.ndarray:
    """Return the common areas (N,) of a rectangle and others (N, 4)."""
    width = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    height = np.minimum(box[3], others[:, 3]) - np.maximum(
        box[1], others[:, 1]
    )
    return width.clip(0) * height.clip(0)
