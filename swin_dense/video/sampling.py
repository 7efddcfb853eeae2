"""Where clips of a video lie in time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


class Window(NamedTuple):
    """A stretch of a video, and the frames that stand for it.

    Attributes:
        first: Its first frame, counted from 0.
        last: Its last frame.
        frames: Frames that the model sees `(clip_len, )`.
        wraps_around: Whether the video is too short and starts again among
        them.
    """

    first: int
    last: int
    frames: np.ndarray
    wraps_around: bool


@dataclass(frozen=True)
class Sampling:
    """How a model samples a clip.

    Attributes:
        clip_len: Frames that the model sees.
        interval: Frames of the video from one of them to the next; None if
            they are spread over the whole of a window, however long.
    """

    clip_len: int
    interval: int | None

    @classmethod
    def from_pipeline(cls, pipeline: Sequence[dict[str, Any]]) -> 'Sampling':
        """What a pipeline of mmaction2 does.

        Raises:
            ValueError: Nothing in it samples frames.
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
            'UniformSample with a clip_len, so how many frames the model '
            'sees is unknown'
        )

    def windows(
        self,
        num_frames: int,
        speed: float = 1.0,
        length: int | None = None,
        stride: int | None = None,
    ) -> list[Window]:
        """Cover a video with windows.

        A video shorter than a window starts again at its end.

        Args:
            num_frames: Frames of the video.
            speed: Its frames per second over those that the interval is meant
                for.
            length: Frames of a window where frames are spread over it; all of
                them by default.
            stride: Frames from one window to the next; by default the length
                of a window. The last window ends where the video does.
        """
        if self.interval is None:
            span = min(length or num_frames, num_frames)
            # The middles of equal parts, as `UniformSample` takes them.
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
    """First frames of windows that reach from start to end of a video."""
    last = max(0, num_frames - span)
    return [*range(0, last, stride), last]


class TestViews(NamedTuple):
    """How many views of a video a test averages over.

    Attributes:
        clips: At different times.
        crops: Of each, at different places, mirrored ones included.
    """

    clips: int
    crops: int

    def __str__(self) -> str:
        return f'{self.clips} clips x {self.crops} crops = ' + (
            f'{self.clips * self.crops} views'
        )


def count_views(pipeline: Sequence[dict[str, Any]]) -> TestViews:
    """The views that a test pipeline makes of a video."""
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
