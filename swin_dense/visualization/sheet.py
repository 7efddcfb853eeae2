"""A contact sheet: ground truth beside prediction, image by image."""
from typing import Any, Sequence, Tuple

import cv2
import numpy as np

from swin_dense.visualization.instances import Arrays, draw_instances
from swin_dense.visualization.text import put_text, text_size

_PAPER = (250, 250, 250)
_INK = (40, 40, 40)


def contact_sheet(pairs: Sequence[Tuple[np.ndarray, Any, Any]],
                  classes: Sequence[str],
                  *,
                  score_thr: float = 0.3,
                  titles: Sequence[str] = ('ground truth', 'prediction'),
                  columns: int = 2,
                  tile: int = 320) -> np.ndarray:
    """Draw images twice, side by side, in titled columns.

    Images are resized before they are drawn on, so that lines and text stay
    sharp on small images too.

    Args:
        pairs: An image (H, W, 3), BGR, with its ground truth and its
            prediction, as `draw_instances` takes them.
        classes: Names, in the order of the labels.
        score_thr: Predictions below it are left out.
        titles: Of the left and the right picture of a pair.
        columns: Pairs beside each other.
        tile: Longer side of each picture in pixels.

    Returns:
        The sheet, (height, width, 3) uint8, BGR.

    Raises:
        ValueError: If there are no pairs, or an entry cannot be drawn.
    """
    if not pairs:
        raise ValueError('a contact sheet needs at least one image, got none')
    columns = min(columns, len(pairs))
    gap, size = tile // 32, max(12, tile // 18)
    tiles = [_draw_pair(*pair, classes, score_thr, tile) for pair in pairs]
    rows = [tiles[i:i + columns] for i in range(0, len(tiles), columns)]
    heights = [max(pair[0].shape[0] for pair in row) for row in rows]

    head = text_size('X', size, bold=True)[1] + 2 * gap
    # Two tiles and the gap between them, then a wider gap to the next pair.
    pitch = 2 * tile + 4 * gap
    sheet = np.full(
        (head + sum(heights) + gap * len(rows), columns * pitch, 3), _PAPER,
        np.uint8)
    for column in range(columns):
        for side, title in enumerate(titles):
            middle = column * pitch + 3 * gap // 2 + side * (tile + gap)
            middle += tile // 2
            width = text_size(title, size, bold=True)[0]
            put_text(
                sheet,
                title, (middle - width // 2, gap),
                size,
                _INK,
                bold=True)
    y = head
    for row, height in zip(rows, heights):
        for column, pair in enumerate(row):
            for side, picture in enumerate(pair):
                h, w = picture.shape[:2]
                x = column * pitch + 3 * gap // 2 + side * (tile + gap)
                x += (tile - w) // 2
                sheet[y:y + h, x:x + w] = picture
        y += height + gap
    return sheet


def _draw_pair(image: np.ndarray, truth: Any, prediction: Any,
               classes: Sequence[str], score_thr: float,
               tile: int) -> Tuple[np.ndarray, np.ndarray]:
    """One image with its ground truth, and with its prediction."""
    factor = tile / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * factor)),
            max(1, round(image.shape[0] * factor)))
    shrinks = factor < 1
    resized = cv2.resize(
        image,
        size,
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    left, right = (
        draw_instances(resized,
                       Arrays.read(instances).resized(size, factor), classes,
                       score_thr) for instances in (truth, prediction))
    return left, right
