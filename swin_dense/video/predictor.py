"""Predict classes along a video from a config and a checkpoint."""

from collections.abc import Iterator, Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.logging import print_log

from swin_dense.data.video_reader import Video
from swin_dense.engine.base_predictor import BasePredictor
from swin_dense.engine.finite_scores import check_scores
from swin_dense.engine.inputs import (
    VideoLike,
    download_video,
    is_address,
    read_frames,
)
from swin_dense.video.result import Scores, VideoResult
from swin_dense.video.sampling import Sampling, Window


class VideoPredictor(BasePredictor):
    """A trained recognizer for videos of any length.

    A video is covered with windows in time, as long as the clips that the
    model was trained on. The config's test pipeline is applied to each,
    including its crops; the number of clips in the pipeline is ignored. A
    video shorter than a window is repeated from its start, which is logged.

    Args:
        stride: Seconds from one window to the next; the length of a window by
            default. A file without a frame rate is taken to have 25 frames
            per second.
        window: Length of a window in seconds, for models that sample a whole
            video evenly (`UniformSample`); the whole video by default.
        fps: Frames per second at which videos are sampled; by default those
            of the video, as in training.
        decoders: Names of decoders; see
            `swin_dense.data.video_reader.check_decoders`.

    Other arguments, attributes and errors are those of BasePredictor.

    Raises:
        ValueError: If `stride`, `window` or `fps` is not above 0, `window`
            does not apply to the model, or the test pipeline does not sample
            and decode frames.
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
                'window is for models that sample a whole video evenly; '
                f'this model sees {self.sampling.clip_len} frames in steps of '
                f'{self.sampling.interval}: leave window out'
            )
        # Make the scores probabilities.
        self.model.cls_head.average_clips = 'prob'

    def _open_data(self, dataset: Any, classes: list[str] | None) -> list[str]:
        """Find the class names; without names, use the class numbers.

        See `BasePredictor._open_data`.
        """
        if not classes and dataset.get('num_classes'):
            classes = [str(label) for label in range(dataset.num_classes)]
        return super()._open_data(dataset, classes)

    def _open_pipeline(self, pipeline: Sequence[Any]) -> None:
        """Keep the transforms after decoding.

        Raises:
            ValueError: If the pipeline does not sample or decode frames.
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
                'swin_dense.VideoDecode, after which the transforms of frames '
                'begin: add it'
            )
        self._pipeline = Compose(pipeline[decoding[-1] + 1 :])

    def predict_batch(self, inputs: Sequence[VideoLike]) -> list[VideoResult]:
        """Predict for some videos, one by one."""
        return [self.predict(video) for video in inputs]

    def predict(self, video: VideoLike) -> VideoResult:
        """Predict for a video.

        Args:
            video: A video file, a folder of frames, an address; an array
                (T, H, W, 3), uint8; or a tensor (T, 3, H, W) in RGB, uint8
                from 0 to 255 or floating-point from 0 to 1.

        Raises:
            TypeError: If the input is nothing of these.
            ValueError: If an array or tensor has another shape or other
                values.
            VideoError: If the video cannot be read, or has no frames.
        """
        path, file = None, None
        source: str | np.ndarray
        if is_address(video):
            path = str(video)
            file = download_video(path)
            source = file.name
        elif isinstance(video, (str, PathLike)):
            source = path = fspath(video)
        else:
            source = read_frames(video, self.channel_order)
        with Video(source, self.decoders) as opened:
            windows = list(self.scores(opened))
            return VideoResult(
                source,
                opened.num_frames,
                opened.fps,
                windows,
                self.classes,
                path=path,
                channel_order=self.channel_order,
                file=file,
            )

    def windows(self, video: Video) -> list[Window]:
        """Return the windows that cover a video."""
        rate = video.fps or 25.0
        return self.sampling.windows(
            video.num_frames,
            speed=rate / self.fps if self.fps else 1.0,
            length=_frames(self.window, rate),
            stride=_frames(self.stride, rate),
        )

    def scores(self, video: Video) -> Iterator[Scores]:
        """Predict for a video, window by window.

        Yields:
            The scores of each window in the order of time.

        Raises:
            VideoError: If a frame cannot be decoded.
        """
        windows = self.windows(video)
        self._log_short(video, windows)
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
        """Return the probabilities `(C,)` of a clip.

        Args:
            frames: Frames `(H, W, 3)` in RGB, uint8, as many as the model
                sees.

        Raises:
            ValueError: If there are more or fewer frames.
        """
        data = self.prepare(frames)
        with torch.no_grad():
            (sample,) = self.model.test_step(pseudo_collate([data]))
        check_scores(sample.pred_score, 'scores')
        return sample.pred_score.cpu().numpy()

    def prepare(self, frames: Sequence[np.ndarray]) -> dict[str, Any]:
        """Put a clip through the test pipeline.

        Args:
            frames: Frames `(H, W, 3)` in RGB, as many as the model sees.

        Returns:
            `inputs` `(views, 3, T, H, W)`, and `data_samples`.

        Raises:
            ValueError: If there are more or fewer frames.
        """
        if len(frames) != self.sampling.clip_len:
            raise ValueError(
                f'the model sees {self.sampling.clip_len} frames,'
                f' got {len(frames)}'
            )
        shape = frames[0].shape[:2]
        return self._pipeline(
            dict(
                imgs=list(frames),
                modality='RGB',
                num_clips=1,
                clip_len=self.sampling.clip_len,
                original_shape=shape,
                img_shape=shape,
            )
        )

    def _log_short(self, video: Video, windows: Sequence[Window]) -> None:
        """Log a video that is shorter than a window."""
        if windows[0].wraps_around:
            print_log(
                f'{video.path} has {video.num_frames} frames, and the model '
                f'sees {self.sampling.clip_len} in steps of '
                f'{self.sampling.interval}: it is repeated from its start',
                'current',
            )


def _frames(seconds: float | None, rate: float) -> int | None:
    """Convert seconds to a number of frames, at least 1."""
    return None if seconds is None else max(1, round(seconds * rate))
