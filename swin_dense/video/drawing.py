"""Draw scores into the frames of videos."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from swin_dense.data.video_reader import Video
from swin_dense.video.scores import Scores
from swin_dense.visualization.labels import PAGE_COLOUR, TEXT_COLOUR
from swin_dense.visualization.palette import class_colour
from swin_dense.visualization.text import put_text, text_size

LARGEST = 320  # longer side of a labelled clip, in pixels
CHUNK = 32  # frames that are decoded at a time
TILE = 240  # longer side of a frame in a strip, in pixels
COLUMNS = 8  # frames in a strip


def span(window: Scores) -> str:
    """Return the time of a window in seconds; in frames without times."""
    if window.start is None:
        return f'{window.first}-{window.last}'
    return f'{window.start:.2f}-{window.end:.2f} s'


def draw_scores(
    frame: np.ndarray,
    window: Scores,
    classes: Sequence[str],
    topk: int = 3,
    largest: int = LARGEST,
) -> np.ndarray:
    """Draw a reduced frame above the most probable classes and their bars.

    Args:
        frame: The frame `(H, W, 3)` in RGB, uint8.
        window: Scores to draw.
        classes: Class names in label order.
        topk: Number of classes to draw.
        largest: Largest side of the frame in pixels.

    Returns:
        The picture `(height, width, 3)` in RGB, uint8.
    """
    factor = min(1, largest / max(frame.shape[:2]))
    size = tuple(max(1, round(n * factor)) for n in frame.shape[1::-1])
    frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    width = size[0]
    font = int(np.clip(width / 26, 9, 18))
    pad = font // 2
    line = text_size('X', font)[1] + pad
    top = window.top(classes, topk)
    band = np.full((pad + line * len(top), width, 3), PAGE_COLOUR, np.uint8)
    for row, entry in enumerate(top):
        y = pad + row * line
        # `class_colour` is BGR, frames are RGB.
        colour = class_colour(entry['label'])[::-1]
        end = round((width - 1) * entry['score'])
        cv2.rectangle(band, (0, y), (end, y + line - pad), colour, cv2.FILLED)
        text = f'{entry["score"]:.2f}  {entry["name"]}'
        put_text(band, text, (pad, y - pad // 3), font, TEXT_COLOUR)
    return np.vstack([frame, band])


def label_frames(
    video: Video, windows: Sequence[Scores], classes: Sequence[str]
) -> Iterator[np.ndarray]:
    """Yield all frames in RGB, each with the scores of the nearest window.

    Args:
        video: The video.
        windows: Scores of its windows.
        classes: Class names in label order.
    """
    middles = np.array([(w.first + w.last) / 2 for w in windows])
    for start in range(0, video.num_frames, CHUNK):
        indices = range(start, min(start + CHUNK, video.num_frames))
        for index, frame in zip(indices, video.frames(indices)):
            nearest = int(np.abs(middles - index).argmin())
            yield draw_scores(frame, windows[nearest], classes)


def draw_strip(
    video: Video,
    windows: Sequence[Scores],
    classes: Sequence[str],
    columns: int = COLUMNS,
) -> np.ndarray:
    """Draw the middle frames of windows side by side, above their scores.

    Args:
        video: The video.
        windows: Scores of its windows.
        classes: Class names in label order.
        columns: Largest number of windows, which are chosen evenly.

    Returns:
        The picture `(height, width, 3)` in RGB, uint8.
    """
    count = min(columns, len(windows))
    places = np.linspace(0, len(windows) - 1, count).round().astype(int)
    chosen = [windows[place] for place in places]
    middles = [(window.first + window.last) // 2 for window in chosen]
    tiles = []
    for frame, window in zip(video.frames(middles), chosen):
        tile = draw_scores(frame, window, classes, largest=TILE)
        head = np.full((20, tile.shape[1], 3), PAGE_COLOUR, np.uint8)
        put_text(head, span(window), (4, 1), 13, TEXT_COLOUR)
        tiles.append(np.vstack([head, tile]))
    return np.hstack(tiles)
