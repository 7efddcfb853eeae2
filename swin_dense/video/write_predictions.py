"""What is written of videos: scores in time, labelled clips, strips."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from swin_dense.data.video_reader import Video
from swin_dense.data.video_writer import write_video
from swin_dense.engine import cli
from swin_dense.engine.json_stream import JsonStream
from swin_dense.video.predictor import Scores, VideoPrediction
from swin_dense.visualization.labels import PAGE_COLOUR, TEXT_COLOUR
from swin_dense.visualization.palette import class_colour
from swin_dense.visualization.text import put_text, text_size

# Pixels of the longer side of a labelled clip.
LARGEST = 320
# Frames decoded at a time.
CHUNK = 32
# Pixels of the longer side of a frame in a strip, and how many of them.
TILE = 240
COLUMNS = 8


class VideoResults:
    """Writes a labelled clip of each video, and `predictions.json`.

    Args:
        paths: Where the picture of each video goes: its clip if it ends in
            `.mp4`, otherwise a strip with a frame of each window.
        out: Folder for the JSON file.
        classes: Names, in the order of the labels.
        topk: Classes to name.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        out: Path,
        classes: Sequence[str],
        topk: int,
    ) -> None:
        self.paths = list(paths)
        self.out = out
        self.classes = classes
        self.topk = min(topk, len(classes))
        self.windows = 0
        self.entries = JsonStream(out / 'predictions.json')

    def add(self, index: int, prediction: VideoPrediction) -> None:
        """Write the picture of a video.

        Args:
            index: Into the paths.
            prediction: What is found in it.

        Raises:
            VideoError: A frame cannot be decoded.
        """
        path = self.paths[index]
        path.parent.mkdir(parents=True, exist_ok=True)
        with Video(prediction.path) as video:
            if path.suffix == '.mp4':
                write_video(
                    path,
                    self._labelled(video, prediction),
                    prediction.fps or 25.0,
                )
            else:
                strip = draw_strip(video, prediction, self.classes)
                cli.write_image(path, strip[..., ::-1])
        self.windows += len(prediction.windows)
        self.entries.add([prediction.to_dict(self.classes, self.topk)])
        self.entries.publish()

    def _labelled(
        self, video: Video, prediction: VideoPrediction
    ) -> Iterator[np.ndarray]:
        """Frames with the scores of the window that they are nearest to."""
        middles = np.array(
            [(w.first + w.last) / 2 for w in prediction.windows]
        )
        for start in range(0, video.num_frames, CHUNK):
            indices = range(start, min(start + CHUNK, video.num_frames))
            for index, frame in zip(indices, video.frames(indices)):
                nearest = int(np.abs(middles - index).argmin())
                yield draw_scores(
                    frame, prediction.windows[nearest], self.classes
                )

    def close(self) -> None:
        """Write what is about all videos so far."""
        self.entries.close()

    def summary(self) -> str:
        """Say how much was done, and where it is."""
        return (
            f'{self.entries.count} videos, {self.windows} windows, '
            f'pictures and scores: {self.out}'
        )


def time_table(
    prediction: VideoPrediction, classes: Sequence[str], topk: int
) -> str:
    """A line for each window, and one for the whole video."""
    rows = [
        (span(window), window.top(classes, topk))
        for window in prediction.windows
    ]
    rows.append(('all', prediction.top(classes, topk)))
    width = max(len(when) for when, _ in rows)
    lines = [f'{prediction.path}: {prediction.num_frames} frames']
    for when, top in rows:
        scores = ', '.join(
            f'{entry["name"]} {entry["score"]:.3f}' for entry in top
        )
        lines.append(f'  {when:>{width}}  {scores}')
    return '\n'.join(lines)


def span(window: Scores) -> str:
    """When a window is, in seconds, or in frames if nothing tells."""
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
    """A smaller frame above the names and bars of the most probable classes.

    Args:
        frame: `(H, W, 3)`, RGB, uint8.
        window: Scores to show.
        classes: Names, in the order of the labels.
        topk: How many of them.
        largest: Pixels of the longer side.

    Returns:
        `(height, width, 3)`, RGB, uint8.
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
        # Colours are named as OpenCV has them, and frames are RGB.
        colour = class_colour(entry['label'])[::-1]
        end = round((width - 1) * entry['score'])
        cv2.rectangle(band, (0, y), (end, y + line - pad), colour, cv2.FILLED)
        text = f'{entry["score"]:.2f}  {entry["name"]}'
        put_text(band, text, (pad, y - pad // 3), font, TEXT_COLOUR)
    return np.vstack([frame, band])


def draw_strip(
    video: Video,
    prediction: VideoPrediction,
    classes: Sequence[str],
    columns: int = COLUMNS,
) -> np.ndarray:
    """The middle frame of windows, side by side, each above its scores.

    Args:
        video: The video.
        prediction: What is found in it.
        classes: Names, in the order of the labels.
        columns: How many windows at most, evenly chosen.

    Returns:
        `(height, width, 3)`, RGB, uint8.
    """
    windows = prediction.windows
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
