"""Draw label maps of semantic segmentation over an image."""

from collections.abc import Sequence

import cv2
import numpy as np

from swin_dense.visualization.palette import colours
from swin_dense.visualization.text import put_text, text_size

PAGE_COLOUR = (250, 250, 250)
TEXT_COLOUR = (40, 40, 40)
# Names of the class that is no object: its pixels are not tinted.
BACKGROUND = ('background', '_background_', 'bg')
ROWS = 256  # rows of a picture that are tinted at a time, to save memory


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
        image: (H, W, 3) uint8, BGR. It is not changed.
        labels: Label map (H, W) of integers. Pixels whose label is not an
            index into `classes`, such as 255, are not tinted, nor are those
            of a class named 'background'.
        classes: Class names in label order.
        palette: Colours as (red, green, blue); those of `class_colour` if
            None.
        opacity: Opacity of the tint, 0 to 1; 1 hides the image.
        legend: If True, add class names and their shares of the area below
            the image.

    Returns:
        A new picture of the image's size. A legend adds to its height, and to
        its width if an entry of the legend is wider than the image.

    Raises:
        ValueError: If the image is not (H, W, 3) uint8, the label map has
            another size, or the palette is too short.
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
    is_tinted = np.array([not is_background(name) for name in classes])
    edges = _edges(labels, max(1, round(np.sqrt(labels.size) / 400)))
    picture = image.copy()
    # A few rows at a time: float64 needs eight times the memory of uint8.
    for top in range(0, len(labels), ROWS):
        rows = slice(top, top + ROWS)
        known = (labels[rows] >= 0) & (labels[rows] < len(classes))
        shown = table[np.where(known, labels[rows], 0)]
        known &= is_tinted[np.where(known, labels[rows], 0)]
        mixed = image[rows] * (1 - opacity) + shown * opacity
        mixed[edges[rows]] = shown[edges[rows]]
        picture[rows][known] = (mixed[known] + 0.5).astype(np.uint8)
    if not legend:
        return picture
    strip = draw_legend([labels], classes, image.shape[1], palette)
    margin = strip.shape[1] - image.shape[1]
    picture = cv2.copyMakeBorder(
        picture, 0, 0, 0, margin, cv2.BORDER_CONSTANT, value=PAGE_COLOUR
    )  # (H, W + margin, 3)
    return np.vstack([picture, strip])


def is_background(name: str) -> bool:
    """Return True if a class has one of the names of `BACKGROUND`."""
    return name.strip().lower() in BACKGROUND


def colour_map(
    labels: np.ndarray,
    count: int,
    palette: Sequence[Sequence[int]] | None = None,
) -> np.ndarray:
    """Return a label map in the colours of the labels.

    Args:
        labels: Labels (H, W), indices into the classes; others are black.
        count: Number of classes.
        palette: See `draw_labels`.

    Returns:
        The picture (H, W, 3) uint8, BGR.
    """
    table = np.array([*colours(count, palette), (0, 0, 0)], np.uint8)
    return table[np.where((labels >= 0) & (labels < count), labels, count)]


def _edges(labels: np.ndarray, width: int) -> np.ndarray:
    """Return the pixels within `width` of another label, (H, W) bool."""
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
    """Draw colour, name and share of each label that occurs, largest first.

    Args:
        maps: Label maps (H, W). Shares are relative to all their pixels.
        classes: Class names in label order.
        width: Least width in pixels; a longer entry makes the legend wider.
        palette: See `draw_labels`.

    Returns:
        The legend (height, width, 3) uint8, BGR, as high as its entries need.
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
        if not is_background(classes[label]):
            cv2.rectangle(strip, (x, y), corner, table[label], cv2.FILLED)
        cv2.rectangle(strip, (x, y), corner, TEXT_COLOUR)
        put_text(
            strip, text, (x + size + pad, y - size // 8), size, TEXT_COLOUR
        )
    return strip


def _flow(
    spaces: Sequence[int], width: int, size: int
) -> tuple[list[tuple[int, int]], int]:
    """Arrange the entries of a legend in lines.

    Args:
        spaces: Width of each entry in pixels.
        width: Width of a line in pixels.
        size: Font height in pixels.

    Returns:
        Top left corner (x, y) of each entry, and the height of the legend.
    """
    pad = size // 2
    x, y = pad, pad
    places: list[tuple[int, int]] = []
    for space in spaces:
        if places and x + space > width:
            x, y = pad, y + size + pad
        places.append((x, y))
        x += space
    return places, y + size + 2 * pad
