"""Choose the frames of a video that a model sees."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


class Window(NamedTuple):
    """A window in time: a segment of a video, and its sampled frames.

    Attributes:
        first: First frame of the window, counted from 0.
        last: Last frame of the window.
        frames: Numbers of the frames that the model sees `(clip_len,)`.
        wraps_around: True if the video is shorter than the window and is
            repeated from its start.
    """

    first: int
    last: int
    frames: np.ndarray
    wraps_around: bool


@dataclass(frozen=True)
class Sampling:
    """The sampling of a clip's frames.

    Attributes:
        clip_len: Number of frames that the model sees.
        interval: Frames of the video from one sampled frame to the next;
            None if frames are sampled evenly from a window of any length.
    """

    clip_len: int
    interval: int | None

    @classmethod
    def from_pipeline(cls, pipeline: Sequence[dict[str, Any]]) -> 'Sampling':
        """Find the sampling of a pipeline of mmaction2.

        Raises:
            ValueError: If no transform samples frames.
        """
        for step in pipeline:
            if 'clip_len' in step:
                spread = step['type'].endswith('UniformSample')
                return cls(
                    step['clip_len'],
                    None if spread else step.get('frame_interval', 1),
                )
        raise ValueError(
            'the test pipeline of the config has no SampleFrames or '
            'UniformSample with a clip_len, the number of frames that the '
            'model sees: add it'
        )

    def windows(
        self,
        num_frames: int,
        speed: float = 1.0,
        length: int | None = None,
        stride: int | None = None,
    ) -> list[Window]:
        """Cover a video with windows.

        A video shorter than a window is repeated from its start.

        Args:
            num_frames: Number of frames of the video.
            speed: Frames per second of the video over those of the sampling.
            length: Number of frames of a window, if frames are sampled
                evenly; the whole video by default.
            stride: Frames from one window to the next; the length of a window
                by default. The last window ends with the video.

        Returns:
            The windows in the order of time.
        """
        if self.interval is None:
            span = min(length or num_frames, num_frames)
            # Middles of equal parts, as in `UniformSample`.
            part = (span - 1) / self.clip_len
            offsets = np.round(part * np.arange(self.clip_len)) + int(part / 2)
        else:
            step = self.interval * speed
            span = max(1, round(self.clip_len * step))
            offsets = np.floor(np.arange(self.clip_len) * step)
        offsets = offsets.astype(int)
        return [
            Window(
                start,
                min(start + span, num_frames) - 1,
                (start + offsets) % num_frames,
                span > num_frames,
            )
            for start in place_windows(num_frames, span, stride or span)
        ]


def place_windows(num_frames: int, span: int, stride: int) -> list[int]:
    """Return the first frames of windows that cover a video.

    Args:
        num_frames: Number of frames of the video.
        span: Number of frames of a window.
        stride: Frames from one window to the next.
    """
    last = max(0, num_frames - span)
    return [*range(0, last, stride), last]


class TestViews(NamedTuple):
    """Number of views of a video that a test averages over.

    Attributes:
        clips: Number of clips at different times.
        crops: Number of crops of each clip, including flipped crops.
    """

    clips: int
    crops: int

    def __str__(self) -> str:
        return f'{self.clips} clips x {self.crops} crops = ' + (
            f'{self.clips * self.crops} views'
        )


def count_views(pipeline: Sequence[dict[str, Any]]) -> TestViews:
    """Count the views of a video in a test pipeline."""
    clips = crops = 1
    for step in pipeline:
        kind = step['type'].rpartition('.')[2]
        clips = step.get('num_clips', clips)
        crops = {
            'EvenCrops': step.get('count', 3),
            'ThreeCrop': 3,
            'TenCrop': 10,
        }.get(kind, crops)
    return TestViews(clips, crops)
