"""A sheet of clips: frames in a row, what they show and what was found."""

from collections.abc import Sequence

import cv2
import numpy as np

from swin_dense.visualization.labels import PAGE_COLOUR, TEXT_COLOUR
from swin_dense.visualization.text import put_text, text_size

WRONG = (40, 40, 200)


def clip_sheet(
    clips: Sequence[tuple[Sequence[np.ndarray], int, np.ndarray]],
    classes: Sequence[str],
    tile: int = 96,
) -> np.ndarray:
    """Draw frames of clips, each row with its true and its found class.

    Args:
        clips: For each: frames `(H, W, 3)` in RGB, uint8, as many as for the
            others; the true label; a probability for each class `(C, )`.
        classes: Names in label order.
        tile: Pixels of the longer side of a frame.

    Returns:
        The sheet `(height, width, 3)` in BGR, uint8. Text on wrong ones is
        red.

    Raises:
        ValueError: There are no clips.
    """
    if not clips:
        raise ValueError('a sheet needs at least one clip, got none')
    size, gap = max(11, tile // 7), max(2, tile // 24)
    texts = []
    for _, truth, scores in clips:
        found = int(np.argmax(scores))
        texts.append(
            (
                f'true: {classes[truth]}',
                f'found: {classes[found]} {scores[found]:.2f}',
                TEXT_COLOUR if found == truth else WRONG,
            )
        )
    margin = 4 * gap + max(
        text_size(line, size)[0] for text in texts for line in text[:2]
    )
    rows = []
    for (frames, _, _), (truth, found, colour) in zip(clips, texts):
        tiles = []
        for frame in frames:
            factor = tile / max(frame.shape[:2])
            shape = [
                max(1, round(side * factor)) for side in frame.shape[1::-1]
            ]
            small = cv2.resize(frame, shape, interpolation=cv2.INTER_AREA)
            tiles += [
                small[..., ::-1],
                np.full((small.shape[0], gap, 3), PAGE_COLOUR, np.uint8),
            ]
        band = np.full((tiles[0].shape[0], margin, 3), PAGE_COLOUR, np.uint8)
        put_text(band, truth, (gap, gap), size, TEXT_COLOUR)
        put_text(band, found, (gap, gap + int(1.5 * size)), size, colour)
        row = np.hstack([*tiles, band])
        rows += [row, np.full((gap, row.shape[1], 3), PAGE_COLOUR, np.uint8)]
    width = max(row.shape[1] for row in rows)
    return np.vstack(
        [
            cv2.copyMakeBorder(
                row,
                0,
                0,
                0,
                width - row.shape[1],
                cv2.BORDER_CONSTANT,
                value=PAGE_COLOUR,
            )
            for row in rows
        ]
    )
