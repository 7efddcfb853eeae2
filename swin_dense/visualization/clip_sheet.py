"""Draw a sheet of clips with their true and predicted classes."""

from collections.abc import Sequence

import cv2
import numpy as np

from swin_dense.visualization.labels import PAGE_COLOUR, TEXT_COLOUR
from swin_dense.visualization.text import put_text, text_size

WRONG = (40, 40, 200)  # colour of wrong predictions


def clip_sheet(
    clips: Sequence[tuple[Sequence[np.ndarray], int, np.ndarray]],
    classes: Sequence[str],
    tile: int = 96,
) -> np.ndarray:
    """Draw the frames of each clip in a row, with true and predicted class.

    Args:
        clips: For each clip its frames `(H, W, 3)` in RGB, uint8; its true
            label; and a probability for each class `(C,)`.
        classes: Class names in label order.
        tile: Longer side of a frame on the sheet, in pixels.

    Returns:
        The sheet `(height, width, 3)` in BGR, uint8. The text of wrong
        predictions is red.

    Raises:
        ValueError: If there are no clips.
    """
    if not clips:
        raise ValueError('a sheet needs at least one clip, got none')
    size, gap = max(11, tile // 7), max(2, tile // 24)
    texts = []
    for _, label, scores in clips:
        predicted = int(np.argmax(scores))
        texts.append(
            (
                f'true: {classes[label]}',
                f'found: {classes[predicted]} {scores[predicted]:.2f}',
                TEXT_COLOUR if predicted == label else WRONG,
            )
        )
    margin = 4 * gap + max(
        text_size(line, size)[0] for text in texts for line in text[:2]
    )
    rows = []
    for (frames, _, _), (truth, prediction, colour) in zip(clips, texts):
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
        put_text(band, prediction, (gap, gap + int(1.5 * size)), size, colour)
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
