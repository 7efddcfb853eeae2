"""The classes that a recognizer predicts along a video."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from swin_dense.data.video_reader import Video
from swin_dense.data.video_writer import write_video
from swin_dense.engine.results import Result
from swin_dense.video.drawing import COLUMNS, draw_strip, label_frames
from swin_dense.video.scores import Scores, top_classes


class VideoResult(Result):
    """The scores of a video, window by window.

    C is the number of classes.

    Attributes:
        num_frames: Number of frames.
        fps: Mean frames per second; None if the file does not say.
        windows: Scores of all windows in the order of time.
        labels: All classes `(C,)`, the most probable first.
        scores: Probability of each of `labels` `(C,)`.

    Args:
        source: Path of the file or folder; or frames `(T, H, W, 3)` in RGB,
            uint8.
        num_frames: See above.
        fps: See above.
        windows: See above.
        classes: Class names in label order.
        path: Path or address of the video; None if it had none.
        channel_order: See `Result`.
        file: Open file that is deleted when nothing refers to it.
    """

    def __init__(
        self,
        source: str | np.ndarray,
        num_frames: int,
        fps: float | None,
        windows: Sequence[Scores],
        classes: Sequence[str],
        path: str | None = None,
        channel_order: str = 'bgr',
        file: Any = None,
    ) -> None:
        super().__init__(classes, path, channel_order)
        self._source, self._file = source, file
        self.num_frames, self.fps = num_frames, fps
        self.windows = list(windows)
        self.labels: np.ndarray = np.argsort(-self.values, kind='stable')
        self.scores: np.ndarray = self.values[self.labels]

    def __repr__(self) -> str:
        top = ', '.join(
            f'{entry["name"]} {entry["score"]:.2f}' for entry in self.top(3)
        )
        return (
            f'<{type(self).__name__} of {self.path or "a video"}, '
            f'{self.num_frames} frames: {top}>'
        )

    @property
    def values(self) -> np.ndarray:
        """Probabilities in label order `(C,)`, the mean over all windows."""
        return np.mean([window.values for window in self.windows], 0)

    def top(self, k: int = 5) -> list[dict[str, Any]]:
        """Return label, name and score of the k most probable classes."""
        return top_classes(self.values, self.classes, k)

    def picture(self, columns: int = COLUMNS) -> np.ndarray:
        """Draw the middle frames of windows in a row, above their scores.

        Args:
            columns: Largest number of windows, which are chosen evenly.

        Returns:
            The picture (height, width, 3), BGR, uint8.
        """
        with Video(self._source) as video:
            strip = draw_strip(video, self.windows, self.classes, columns)
        return np.ascontiguousarray(strip[..., ::-1])

    def save(self, path: str | PathLike, **options: Any) -> Path:
        """Write the scores to a file, atomically.

        Args:
            path: A clip with scores in each frame, such as `out.mp4`; a strip
                of frames, such as `out.jpg`; or `out.json` for the content of
                `to_dict`. Its folder is created if needed.
            options: How to draw a strip; see `picture`.

        Returns:
            The path.

        Raises:
            ImportError: If PyAV, which writes clips, is not installed.
            ValueError: If the suffix of the path is none of these.
        """
        path = Path(path)
        if path.suffix.lower() != '.mp4' or options:
            return super().save(path, **options)
        path.parent.mkdir(parents=True, exist_ok=True)
        with Video(self._source) as video:
            frames = label_frames(video, self.windows, self.classes)
            write_video(path, frames, self.fps or 25.0)
        return path

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of the files that `save` writes."""
        return ('.mp4', *super().suffixes)

    def for_json(self) -> dict[str, Any]:
        """Return the content of a JSON file; see `to_dict`."""
        return self.to_dict()

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """Return the k most probable classes of the video and all windows."""
        return {
            'file_name': self.path,
            'frames': self.num_frames,
            'fps': self.fps,
            'seconds': self.windows[-1].end,
            'top': self.top(k),
            'windows': [
                {
                    'start': window.start,
                    'end': window.end,
                    'first_frame': window.first,
                    'last_frame': window.last,
                    'top': window.top(self.classes, k),
                }
                for window in self.windows
            ],
        }
