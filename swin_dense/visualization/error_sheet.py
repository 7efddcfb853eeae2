"""Draw errors of a detector: cut out around the boxes, in rows by kind."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from swin_dense.visualization.labels import PAGE_COLOUR, TEXT_COLOUR
from swin_dense.visualization.text import put_text, text_size

FOUND = (60, 60, 230)  # red, of the detection
REAL = (70, 170, 60)  # green, of the truth
TILE, GAP, SIZE = 220, 10, 13  # pixels
MARGIN = 0.5  # around the boxes, as a share of their size
MIN_SIDE = 64  # of a cut-out, in pixels of the image


class ErrorTile(NamedTuple):
    """An error to draw.

    Attributes:
        image: What `read` takes to return the image.
        caption: Lines below the cut-out.
        found: Box (x, y, w, h) of the detection, or None.
        real: Box of the truth, or None.
    """

    image: object
    caption: Sequence[str]
    found: Sequence[float] | None = None
    real: Sequence[float] | None = None


def draw_errors(
    rows: Sequence[tuple[str, Sequence[ErrorTile]]],
    read: Callable[[object], np.ndarray],
    title: str,
) -> np.ndarray:
    """Draw rows of errors.

    Args:
        rows: The title of each row, and its errors.
        read: Function that returns an image (H, W, 3), BGR, uint8.
        title: Title of the sheet.

    Returns:
        The sheet (height, width, 3), BGR, uint8.
    """
    columns = max(1, *(len(tiles) for _, tiles in rows))
    line = text_size('X', SIZE)[1] + 4
    captions = max(
        (len(tile.caption) for _, tiles in rows for tile in tiles), default=1
    )
    pitch = 2 * line + TILE + captions * line + GAP
    width = max(
        GAP + columns * (TILE + GAP), text_size(title, SIZE + 3)[0] + 2 * GAP
    )
    sheet = np.full(
        (3 * line + len(rows) * pitch, width, 3), PAGE_COLOUR, np.uint8
    )
    put_text(sheet, title, (GAP, GAP), SIZE + 3, TEXT_COLOUR, bold=True)
    _draw_key(sheet, (GAP, GAP + line + 4))
    top = 3 * line
    for name, tiles in rows:
        put_text(sheet, name, (GAP, top + 4), SIZE, TEXT_COLOUR, bold=True)
        for column, tile in enumerate(tiles):
            left = GAP + column * (TILE + GAP)
            cut = cut_out(read(tile.image), tile)
            y = top + 2 * line
            sheet[y : y + TILE, left : left + TILE] = cut
            for number, text in enumerate(tile.caption):
                place = (left, y + TILE + 4 + number * line)
                put_text(sheet, _fitting(text), place, SIZE, TEXT_COLOUR)
        if not tiles:
            place = (GAP, top + 2 * line)
            put_text(sheet, 'none', place, SIZE, TEXT_COLOUR)
        top += pitch if tiles else 4 * line
    return sheet[:top]


def cut_out(image: np.ndarray, tile: ErrorTile) -> np.ndarray:
    """Return the part of an image around the boxes of an error.

    Args:
        image: The image (H, W, 3), BGR, uint8.
        tile: The error.

    Returns:
        The part (`TILE`, `TILE`, 3) with the boxes, padded where the image
        ends.
    """
    boxes = np.array([b for b in (tile.found, tile.real) if b is not None])
    low = boxes[:, :2].min(0)
    high = (boxes[:, :2] + boxes[:, 2:]).max(0)
    side = max(MIN_SIDE, float((high - low).max()) * (1 + 2 * MARGIN))
    side = min(side, float(max(image.shape[:2])))
    corner = (low + high - side) / 2
    factor = TILE / side
    shift = np.array(
        [[factor, 0, -corner[0] * factor], [0, factor, -corner[1] * factor]]
    )
    cut = cv2.warpAffine(
        image,
        shift,
        (TILE, TILE),
        flags=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR,
        borderValue=PAGE_COLOUR,
    )
    for box, colour in ((tile.real, REAL), (tile.found, FOUND)):
        if box is not None:
            x, y, width, height = box
            first = ((np.array([x, y]) - corner) * factor).round().astype(int)
            last = np.array([x + width, y + height]) - corner
            last = (last * factor).round().astype(int)
            cv2.rectangle(
                cut, first.tolist(), last.tolist(), colour, 2, cv2.LINE_AA
            )
    return np.asarray(cut)


def _draw_key(sheet: np.ndarray, place: tuple[int, int]) -> None:
    """Explain the two colours."""
    x, y = place
    for text, colour in (('detection', FOUND), ('truth', REAL)):
        cv2.rectangle(sheet, (x, y), (x + SIZE, y + SIZE), colour, 2)
        put_text(sheet, text, (x + SIZE + 6, y - 1), SIZE, TEXT_COLOUR)
        x += SIZE + 6 + text_size(text, SIZE)[0] + 2 * GAP


def _fitting(text: str) -> str:
    """Return a text cut to the width of a tile."""
    while text_size(text, SIZE)[0] > TILE and len(text) > 4:
        text = f'{text[:-4]}...'
    return text
