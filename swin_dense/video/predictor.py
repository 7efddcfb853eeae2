"""What happens when in a video, from a config and a checkpoint."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.logging import print_log

from swin_dense.data.video_reader import Video
from swin_dense.engine.base_predictor import BasePredictor
from swin_dense.video.sampling import Sampling, Window


@dataclass(frozen=True)
class Scores:
    """What the model finds in a window.

    Attributes:
        first: First frame of the window, counted from 0.
        last: Its last frame.
        start: When the first frame is shown, in seconds from that of the
            video; None if nothing says so.
        end: When the last frame gives way to the next.
        values: A probability for each class `(C, )`.
    """

    first: int
    last: int
    start: float | None
    end: float | None
    values: np.ndarray

    def top(self, classes: Sequence[str], k: int) -> list[dict[str, Any]]:
        """The k most probable classes, the first one first."""
        return top_classes(self.values, classes, k)


@dataclass(frozen=True)
class VideoPrediction:
    """What the model finds in a video.

    Attributes:
        path: The file or folder.
        num_frames: Its frames.
        fps: Frames per second on average; None if nothing says so.
        windows: Stretches of it, in their order.
    """

    path: str
    num_frames: int
    fps: float | None
    windows: list[Scores]

    @property
    def values(self) -> np.ndarray:
        """Mean probabilities of all windows `(C, )`."""
        return np.mean([window.values for window in self.windows], 0)

    def top(self, classes: Sequence[str], k: int) -> list[dict[str, Any]]:
        """The k most probable classes of all, the first one first."""
        return top_classes(self.values, classes, k)

    def to_dict(self, classes: Sequence[str], k: int) -> dict[str, Any]:
        """Everything as plain types, ready for JSON."""
        return {
            'file_name': self.path,
            'frames': self.num_frames,
            'fps': self.fps,
            'seconds': self.windows[-1].end,
            'top': self.top(classes, k),
            'windows': [
                {
                    'start': window.start,
                    'end': window.end,
                    'first_frame': window.first,
                    'last_frame': window.last,
                    'top': window.top(classes, k),
                }
                for window in self.windows
            ],
        }


def top_classes(
    values: np.ndarray, classes: Sequence[str], k: int
) -> list[dict[str, Any]]:
    """Label, name and score of the highest scores."""
    order = np.argsort(-values, kind='stable')[:k]
    return [
        {
            'label': int(label),
            'name': classes[label],
            'score': float(values[label]),
        }
        for label in order
    ]


class VideoPredictor(BasePredictor):
    """A trained recognizer that takes videos of any length.

    A video is covered with windows as long as the clips that the model was
    trained on. Each goes through the test pipeline of the config, crops
    included; the number of clips that the pipeline takes of a video does not
    matter. A shorter video starts again at its end, which is logged.

    Args:
        stride: Seconds from one window to the next; the length of a window by
            default. Where a file does not tell its rate, 25 frames count as a
            second.
        window: Seconds of a window, for models that spread their frames over
            a video (`UniformSample`); the whole video by default.
        fps: Rate at which videos are sampled; their own by default, as in
            training.
        decoders: See `swin_dense.data.video_reader.check_decoders`.

    Other arguments, attributes and errors are those of BasePredictor.
    """

    scope = 'mmaction'

    def __init__(
        self,
        *args: Any,
        stride: float | None = None,
        window: float | None = None,
        fps: float | None = None,
        decoders: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        for name, value in dict(stride=stride, window=window, fps=fps).items():
            if value is not None and not value > 0:
                raise ValueError(f'{name} must be above 0, got {value}')
        self.stride = stride
        self.window = window
        self.fps = fps
        self.decoders = decoders
        super().__init__(*args, **kwargs)
        if window and self.sampling.interval is not None:
            raise ValueError(
                'window is for models that spread their frames over a video; '
                f'this one sees {self.sampling.clip_len} frames in steps of '
                f'{self.sampling.interval}'
            )
        # Scores are to be probabilities.
        self.model.cls_head.average_clips = 'prob'

    def _open_data(self, dataset: Any, classes: list[str] | None) -> list[str]:
        """See BasePredictor; classes without names are named by numbers."""
        if not classes and dataset.get('num_classes'):
            classes = [str(label) for label in range(dataset.num_classes)]
        return super()._open_data(dataset, classes)

    def _open_pipeline(self, pipeline: Sequence[Any]) -> None:
        """Keep what comes after decoding.

        Raises:
            ValueError: The pipeline does not decode.
        """
        self.sampling = Sampling.from_pipeline(pipeline)
        decoding = [
            index
            for index, step in enumerate(pipeline)
            if step['type'].endswith('Decode')
        ]
        if not decoding:
            raise ValueError(
                'the test pipeline of the config has no '
                'swin_dense.VideoDecode, so what is done to '
                'frames is unknown'
            )
        self._pipeline = Compose(pipeline[decoding[-1] + 1 :])

    def __call__(self, videos: Sequence[str | Path]) -> list:
        """Predict for some videos, see `predict`."""
        return [self.predict(video) for video in videos]

    def predict(self, path: str | Path) -> VideoPrediction:
        """Predict for a video.

        Args:
            path: A file, or a folder of frames.

        Raises:
            VideoError: It cannot be read, or has no frames.
        """
        with Video(str(path), self.decoders) as video:
            scores = list(self.scores(video))
            return VideoPrediction(
                str(path), video.num_frames, video.fps, scores
            )

    def windows(self, video: Video) -> list[Window]:
        """The windows that cover a video."""
        rate = video.fps or 25.0
        return self.sampling.windows(
            video.num_frames,
            speed=rate / self.fps if self.fps else 1.0,
            length=_frames(self.window, rate),
            stride=_frames(self.stride, rate),
        )

    def scores(self, video: Video) -> Iterator[Scores]:
        """Predict for a video, window by window.

        Raises:
            VideoError: A frame cannot be decoded.
        """
        windows = self.windows(video)
        self._tell_short(video, windows)
        times = video.times()
        for window in windows:
            start = end = None
            if times is not None:
                start = float(times[window.first])
                end = float(times[window.last]) + (
                    1 / video.fps if video.fps else 0.0
                )
            frames = video.frames(window.frames)
            yield Scores(
                window.first, window.last, start, end, self.classify(frames)
            )

    def classify(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """Probabilities `(C, )` of a clip.

        Args:
            frames: As many as the model sees, `(H, W, 3)`, RGB, uint8.

        Raises:
            ValueError: There are more or fewer.
        """
        if len(frames) != self.sampling.clip_len:
            raise ValueError(
                f'the model sees {self.sampling.clip_len} frames,'
                f' got {len(frames)}'
            )
        shape = frames[0].shape[:2]
        data = self._pipeline(
            dict(
                imgs=list(frames),
                modality='RGB',
                num_clips=1,
                clip_len=self.sampling.clip_len,
                original_shape=shape,
                img_shape=shape,
            )
        )
        with torch.no_grad():
            (sample,) = self.model.test_step(pseudo_collate([data]))
        return sample.pred_score.cpu().numpy()

    def _tell_short(self, video: Video, windows: Sequence[Window]) -> None:
        if windows[0].wraps_around:
            print_log(
                f'{video.path} has {video.num_frames} frames, and the model '
                f'sees {self.sampling.clip_len} in steps of '
                f'{self.sampling.interval}: it is played again from its start',
                'current',
            )


def _frames(seconds: float | None, rate: float) -> int | None:
    """Seconds in whole frames, at least one."""
    return None if seconds is None else max(1, round(seconds * rate))
