"""Draw maps of numbers over images as heat."""

from collections.abc import Sequence
from functools import cache

import cv2
import matplotlib
import numpy as np

from swin_dense.visualization.labels import PAGE_COLOUR, TEXT_COLOUR
from swin_dense.visualization.text import put_text, text_size

_COLOURS = 'inferno'
# Share of the heat where the map is 0, and where it has its limit.
_OPACITY = (0.35, 0.8)


@cache
def _colours() -> np.ndarray:
    """Return the colours of 256 steps `(256, 3)`, BGR, uint8."""
    table = matplotlib.colormaps[_COLOURS](np.arange(256))[:, 2::-1]
    return np.round(255 * table).astype(np.uint8)


def draw_heat(
    image: np.ndarray, values: np.ndarray, limit: float | None = None
) -> np.ndarray:
    """Draw a map over an image: dark where it is 0, bright at its limit.

    The image is shown in grey, so that all colours are those of the map.

    Args:
        image: `(H, W, 3)` in BGR, uint8. It is not changed.
        values: The map `(H, W)`; negative values are drawn as 0.
        limit: Value of the brightest colour; by default the largest value.

    Returns:
        A picture of the image's shape.

    Raises:
        ValueError: If the map has another size than the image.
    """
    if values.shape != image.shape[:2]:
        raise ValueError(
            f'the map has {values.shape} values and the image '
            f'{image.shape[:2]} pixels: lay the map out on the image first'
        )
    limit = float(values.max()) if limit is None else limit
    share = np.clip(values / limit, 0, 1) if limit > 0 else 0 * values
    share = share.astype(np.float32)
    heat = _colours()[np.round(255 * share).astype(np.uint8)]
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None]
    low, high = _OPACITY
    opacity = (low + (high - low) * share)[..., None]
    picture = grey * (1 - opacity) + heat * opacity
    return np.round(picture).astype(np.uint8)


def mark_box(
    picture: np.ndarray, box: Sequence[float], colour: tuple[int, int, int]
) -> None:
    """Draw a box with a dark rim into a picture, in place.

    Args:
        picture: `(H, W, 3)` in BGR, uint8.
        box: x0, y0, x1, y1 in pixels.
        colour: (blue, green, red).
    """
    x0, y0, x1, y1 = (int(round(float(edge))) for edge in box)
    width = max(1, round(np.sqrt(picture.shape[0] * picture.shape[1]) / 320))
    for line, ink in ((width + 2, (0, 0, 0)), (width, colour)):
        cv2.rectangle(picture, (x0, y0), (x1, y1), ink, line)


def mark_point(picture: np.ndarray, point: Sequence[float]) -> None:
    """Draw a white ring with a dark rim around a pixel, in place.

    Args:
        picture: `(H, W, 3)` in BGR, uint8.
        point: x and y in pixels.
    """
    x, y = (int(round(float(place))) for place in point)
    side = np.sqrt(picture.shape[0] * picture.shape[1])
    radius, width = max(6, round(side / 50)), max(1, round(side / 320))
    for line, ink in ((width + 2, (0, 0, 0)), (width, (255, 255, 255))):
        cv2.circle(picture, (x, y), radius, ink, line, cv2.LINE_AA)


def caption(
    picture: np.ndarray, text: str, size: int | None = None
) -> np.ndarray:
    """Return a picture below a line of text, which is shrunk to fit.

    Args:
        picture: `(H, W, 3)` in BGR, uint8.
        text: One line.
        size: Font height in pixels; by default it follows the picture.
    """
    width = picture.shape[1]
    size = size or int(np.clip(width / 36, 10, 32))
    while size > 7 and text_size(text, size)[0] > width - size:
        size -= 1
    height = text_size(text, size)[1] + size // 2
    band = np.full((height, width, 3), PAGE_COLOUR, np.uint8)
    put_text(band, text, (size // 2, size // 4), size, TEXT_COLOUR)
    return np.vstack([band, picture])


def tile(pictures: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Lay pictures of one size out in rows, from left to right.

    Args:
        pictures: Pictures `(H, W, 3)` of one size, BGR, uint8.
        columns: Pictures of a row.

    Raises:
        ValueError: If there are no pictures.
    """
    if not pictures:
        raise ValueError('nothing to draw: give at least one picture')
    height, width = pictures[0].shape[:2]
    columns = min(columns, len(pictures))
    gap = max(2, width // 80)
    rows = -(-len(pictures) // columns)
    page = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, 3),
        PAGE_COLOUR,
        np.uint8,
    )
    for index, picture in enumerate(pictures):
        top, left = (
            place * (side + gap)
            for place, side in zip(divmod(index, columns), (height, width))
        )
        page[top : top + height, left : left + width] = picture
    return page
