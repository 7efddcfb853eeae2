"""Label maps of semantic segmentation laid over a photograph."""

from collections.abc import Sequence

import cv2
import numpy as np

from swin_dense.visualization.palette import Colour, class_colour
from swin_dense.visualization.text import put_text, text_size

PAGE_COLOUR = (250, 250, 250)
TEXT_COLOUR = (40, 40, 40)
# Of a picture, tinted at a time.
ROWS = 256


def colours(
    count: int, palette: Sequence[Sequence[int]] | None = None
) -> list[Colour]:
    """Colours of labels as (blue, green, red).

    Args:
        count: How many.
        palette: Colours as (red, green, blue), as mmseg's data sets have
            them; those of `class_colour` if None.

    Raises:
        ValueError: The palette is too short.
    """
    if palette is None:
        return [class_colour(label) for label in range(count)]
    if len(palette) < count:
        raise ValueError(
            f'{len(palette)} colours for {count} classes: add some to the '
            'palette, or leave it out'
        )
    return [tuple(int(c) for c in colour[::-1]) for colour in palette[:count]]


def draw_labels(
    image: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]] | None = None,
    *,
    opacity: float = 0.5,
    legend: bool = True,
) -> np.ndarray:
    """Tint an image by the label of each pixel, and outline the regions.

    Args:
        image: (H, W, 3) uint8, BGR. It is left as it is.
        labels: (H, W) whole numbers. What is no index into `classes`, such
            as 255, is ignored and stays as it is in the image.
        classes: Names, in the order of the labels.
        palette: Colours as (red, green, blue); this package's if None.
        opacity: Of the tint, 0 to 1; 1 hides the image.
        legend: Whether to add names and shares of area below the image.

    Returns:
        A new picture of the image's size; with a legend, it is higher, and
        wider where an entry of the legend is.

    Raises:
        ValueError: Image or labels cannot be drawn, or not on each other.
    """
    labels = np.asarray(labels)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            'an image to draw on must be (H, W, 3) and uint8, got '
            f'{image.shape} and {image.dtype}'
        )
    if labels.shape != image.shape[:2]:
        raise ValueError(
            f'labels are {labels.shape}, the image is {image.shape[:2]} '
            '(height, width); resize them to the image first'
        )
    table = np.array(colours(len(classes), palette), np.float32)
    edges = _edges(labels, max(1, round(np.sqrt(labels.size) / 400)))
    picture = image.copy()
    # In parts, as fractions take eight times the memory of the picture.
    for top in range(0, len(labels), ROWS):
        rows = slice(top, top + ROWS)
        known = (labels[rows] >= 0) & (labels[rows] < len(classes))
        shown = table[np.where(known, labels[rows], 0)]
        mixed = image[rows] * (1 - opacity) + shown * opacity
        mixed[edges[rows]] = shown[edges[rows]]
        picture[rows][known] = (mixed[known] + 0.5).astype(np.uint8)
    if not legend:
        return picture
    strip = draw_legend([labels], classes, image.shape[1], palette)
    margin = strip.shape[1] - image.shape[1]
    picture = cv2.copyMakeBorder(
        picture, 0, 0, 0, margin, cv2.BORDER_CONSTANT, value=PAGE_COLOUR
    )
    return np.vstack([picture, strip])


def _edges(labels: np.ndarray, width: int) -> np.ndarray:
    """Pixels within `width` of another label, (H, W) bool."""
    edges = np.zeros(labels.shape, np.uint8)
    across = labels[:, 1:] != labels[:, :-1]
    down = labels[1:] != labels[:-1]
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= down
    edges[:-1] |= down
    return cv2.dilate(edges, np.ones((width, width), np.uint8)).astype(bool)


def draw_legend(
    maps: Sequence[np.ndarray],
    classes: Sequence[str],
    width: int,
    palette: Sequence[Sequence[int]] | None = None,
) -> np.ndarray:
    """Colours, names and shares of the labels that occur, the largest first.

    Args:
        maps: Label maps; shares are of all their pixels.
        classes: Names, in the order of the labels.
        width: In pixels, at least; the strip is as wide as its longest entry
            if that is wider.
        palette: See `draw_labels`.

    Returns:
        A strip (height, width, 3), as high as it must be.
    """
    counts = np.zeros(len(classes), np.int64)
    for labels in maps:
        known = labels[(labels >= 0) & (labels < len(classes))]
        counts += np.bincount(known.ravel(), minlength=len(classes))
    total = max(1, sum(labels.size for labels in maps))
    size = int(np.clip(width / 40, 11, 22))
    pad = size // 2
    entries = []
    for label in np.argsort(-counts, kind='stable'):
        if counts[label]:
            entries.append(
                (label, f'{classes[label]}  {counts[label] / total:.1%}')
            )
    spaces = [size + text_size(text, size)[0] + 3 * pad for _, text in entries]
    width = max([width, *(pad + space for space in spaces)])
    places, height = _flow(spaces, width, size)
    strip = np.full((height, width, 3), PAGE_COLOUR, np.uint8)
    table = colours(len(classes), palette)
    for (label, text), (x, y) in zip(entries, places):
        corner = (x + size, y + size)
        cv2.rectangle(strip, (x, y), corner, table[label], cv2.FILLED)
        cv2.rectangle(strip, (x, y), corner, TEXT_COLOUR)
        put_text(
            strip, text, (x + size + pad, y - size // 8), size, TEXT_COLOUR
        )
    return strip


def _flow(
    spaces: Sequence[int], width: int, size: int
) -> tuple[list[tuple[int, int]], int]:
    """Places (x, y) of a legend's entries in lines, and the height of all."""
    pad = size // 2
    x, y, places = pad, pad, []
    for space in spaces:
        if places and x + space > width:
            x, y = pad, y + size + pad
        places.append((x, y))
        x += space
    return places, y + size + 2 * pad
