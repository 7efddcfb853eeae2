"""Write explanations as files: pictures, arrays, and videos."""

import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from swin_dense.analysis import explain, explain_pictures
from swin_dense.data.video_reader import Video
from swin_dense.data.video_writer import write_video
from swin_dense.engine import cli
from swin_dense.files import replacing
from swin_dense.visualization.heat_map import caption

STRIP = 8  # frames in the picture of a video


def write_image_map(
    found: explain.AttentionMap | explain.ActivationMap,
    picture: Path,
    classes: Sequence[str],
    heads: Sequence[int] | None = None,
) -> str:
    """Write the picture of an explanation, and its arrays as .npz beside it.

    Args:
        found: Attention or class activation for an image.
        picture: The file of the picture.
        classes: Class names in label order.
        heads: Numbers of the heads of an attention to draw; None for the mean
            of all.

    Returns:
        A line about what is shown.

    Raises:
        ValueError: If there is no such head.
    """
    arrays = found.arrays()
    if isinstance(found, explain.AttentionMap):
        drawn = explain_pictures.draw_attention(found, heads)
        line = explain_pictures.describe_attention(
            found, heads[0] if heads and len(heads) == 1 else None
        )
        arrays['on_image'] = found.on_pixels(found.select()[0])
        if found.padding is not None and found.padding.any():
            line += f', {found.padding.mean():.0%} of it to padding'
    else:
        drawn = explain_pictures.draw_activation(found, classes)
        line = explain_pictures.describe_activation(found, classes)
        arrays['on_image'] = found.on_pixels(found.activation)
    cli.write_image(picture, drawn)
    _write_arrays(picture.with_suffix('.npz'), arrays)
    return line


def write_video_maps(
    find_map: Callable[..., Any],
    predictor: Any,
    source: str | Path,
    picture: Path,
    heads: Sequence[int] | None = None,
    at: Sequence[float] | None = None,
) -> str:
    """Explain a video, window by window.

    Writes a strip of frames, the arrays as .npz beside it, and the frames as
    .mp4 if PyAV is installed.

    Args:
        find_map: Function that explains a clip, as `explain.explain_clip`
            does.
        predictor: A `VideoPredictor`.
        source: The video.
        picture: The file of the strip.
        heads: Numbers of the heads of an attention whose mean is drawn; None
            for all.
        at: x, y and seconds of a query, which chooses a single window; None
            for all windows.

    Returns:
        A line about what is shown.

    Raises:
        ValueError: If the video does not last so long, or there is no such
            head.
        VideoError: If the video cannot be read.
    """
    with Video(str(source), predictor.decoders) as video:
        story = _Story(find_map, predictor, video, heads, at)
        if find_spec('av') is None:
            print(
                'without PyAV no videos can be written: a strip of frames '
                'alone',
                file=sys.stderr,
            )
            for _ in story.frames():
                pass
        else:
            picture.parent.mkdir(parents=True, exist_ok=True)
            write_video(picture.with_suffix('.mp4'), story.frames(), story.fps)
    strip = explain_pictures.draw_strip(story.kept, story.times, story.line)
    cli.write_image(picture, strip)
    _write_arrays(picture.with_suffix('.npz'), story.arrays())
    return story.line


class _Story:
    """Explanations of the windows of a video, in the order of time.

    Frames are drawn one by one, and the maps of tokens are kept.

    Args:
        find_map: Function that explains a clip.
        predictor: A `VideoPredictor`.
        video: The video.
        heads: Heads whose mean is drawn; None for all.
        at: x, y and seconds of a query, which chooses a single window.
    """

    def __init__(
        self,
        find_map: Callable[..., Any],
        predictor: Any,
        video: Video,
        heads: Sequence[int] | None,
        at: Sequence[float] | None,
    ) -> None:
        self.find_map = find_map
        self.predictor = predictor
        self.video = video
        self.heads = heads
        rate = video.fps or 25.0
        times = video.times()
        self._seconds = (
            np.arange(video.num_frames) / rate if times is None else times
        )
        self.windows = predictor.windows(video)
        self.at = at
        if at is not None:
            self.windows = [self._window_at(at[2])]
        interval = predictor.sampling.interval
        first = self.windows[0].frames
        step = interval or max(1, int(first[1] - first[0]))
        self.fps = rate / step
        total = len(self.windows) * predictor.sampling.clip_len
        count = min(STRIP, total)
        self._wanted = {
            int(place) for place in np.linspace(0, total - 1, count).round()
        }
        self.kept: list[np.ndarray] = []
        self.times: list[str] = []
        self.line = ''
        self._maps: list[np.ndarray] = []
        self._found: list[Any] = []

    def _window_at(self, seconds: float) -> Any:
        """Return the first window that holds a time.

        Raises:
            ValueError: If the video does not last so long.
        """
        end = float(self._seconds[-1])
        if not 0 <= seconds <= end:
            raise ValueError(
                f'the video has frames from 0 to {end:.2f} s, got the time '
                f'{seconds:g}'
            )
        frame = int(np.abs(self._seconds - seconds).argmin())
        return next(
            window
            for window in self.windows
            if window.first <= frame <= window.last
        )

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the drawn frames of all windows in RGB."""
        position = 0
        for window in self.windows:
            frames = self.video.frames(window.frames)
            options: dict[str, Any] = {}
            if self.at is not None:
                places = np.abs(self._seconds[window.frames] - self.at[2])
                options['at'] = (*self.at[:2], int(places.argmin()))
            found = self.find_map(frames, **options)
            values, line = self._describe(found)
            self.line = self.line or line
            self._maps.append(
                found.attention
                if isinstance(found, explain.AttentionMap)
                else values
            )
            drawn = explain_pictures.draw_frames(found, values)
            for number, frame in zip(window.frames, drawn):
                when = f'{self._seconds[number]:.2f} s'
                if isinstance(found, explain.ActivationMap):
                    name = self.predictor.classes[found.label]
                    when += f'  {name}'
                if position in self._wanted:
                    self.kept.append(frame)
                    self.times.append(when)
                position += 1
                yield _below(when, frame)
            self._found.append(_without_pixels(found))

    def _describe(self, found: Any) -> tuple[np.ndarray, str]:
        """Return the values to draw `(T', h, w)`, and a line about them."""
        if isinstance(found, explain.AttentionMap):
            head = None
            if self.heads is not None and len(self.heads) == 1:
                head = self.heads[0]
            return found.select(self.heads).mean(0), (
                explain_pictures.describe_attention(found, head)
            )
        return found.activation, explain_pictures.describe_activation(
            found, self.predictor.classes
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of all windows for an .npz file."""
        first = self._found[0]
        frames = np.stack([window.frames for window in self.windows])
        arrays = {
            'frames': frames,
            'times': self._seconds[frames],
            'stride': np.array(first['stride']),
        }
        if 'score' in first:
            arrays['activation'] = np.stack(self._maps)
            for name in ('label', 'score', 'level'):
                arrays[name] = np.array([found[name] for found in self._found])
        else:
            arrays['attention'] = np.stack(self._maps)
            for name in ('query', 'padding'):
                if name in first:
                    arrays[name] = first[name]
        return arrays


def _without_pixels(found: Any) -> dict[str, np.ndarray]:
    """Return the small arrays of an explanation."""
    return {
        name: values
        for name, values in found.arrays().items()
        if values.ndim < 2
    }


def _below(text: str, frame: np.ndarray) -> np.ndarray:
    """Return a frame in RGB below a line of text."""
    picture = caption(np.ascontiguousarray(frame[..., ::-1]), text)
    return np.ascontiguousarray(picture[..., ::-1])


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an .npz file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial_file, partial_file.open('wb') as file:
        content: dict[str, Any] = arrays
        np.savez_compressed(file, **content)
