"""Predict videos frame by frame with a model for images.

Frames are read, predicted and written as they come, so that memory does not
grow with the length of a video.
"""

import json
import os
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import unquote, urlsplit

import cv2
import numpy as np

from swin_dense.data.decoders.base import VideoError
from swin_dense.data.video_reader import VIDEOS, Video
from swin_dense.data.video_writer import write_video
from swin_dense.engine import cli
from swin_dense.engine.input_files import (
    FAILURES,
    find_images,
    find_videos,
)
from swin_dense.engine.inputs import download_video, is_address
from swin_dense.engine.progress import show_steps
from swin_dense.wording import counted

# Takes the frames per second of a video; returns an object whose `update`
# gets the result of each frame, in order, and returns it with ids.
MakeTracker = Callable[[float], Any]

_INTERRUPTED = 'interrupted'
_CAMERA = re.compile(r'(?:camera:)?(\d+)')


class Frame(NamedTuple):
    """A frame of a video.

    Attributes:
        number: Its number, from 0.
        seconds: Its time from the first frame; None if it is unknown.
        pixels: `(H, W, 3)` in BGR, uint8.
    """

    number: int
    seconds: float | None
    pixels: np.ndarray


class FrameSource(NamedTuple):
    """The frames of an open video or camera.

    Attributes:
        frames: The frames in order of time. Raises a `VideoError` where a
            frame cannot be read.
        fps: Frames per second.
        length: Number of frames; 0 if it is unknown.
    """

    frames: Iterator[Frame]
    fps: float
    length: int


def find_sources(inputs: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split inputs into those that may lead to images, and videos.

    Args:
        inputs: Paths, folders, patterns, addresses and cameras. The images
            and videos of a folder or pattern are both found.

    Returns:
        The inputs that are not a video alone, and the videos, each once.

    Raises:
        FileNotFoundError: If an input that names a video does not exist.
    """
    others: list[str] = []
    videos: dict[str, str] = {}
    for entry in inputs:
        if (
            is_address(entry) or camera_number(entry) is not None
        ) and not Path(entry).exists():
            videos.setdefault(entry, entry)
            continue
        found: list[Path] = []
        # A recognizer takes a folder of images as a video; here it is images.
        if not (os.path.isfile(entry) and not _is_video(entry)):
            with suppress(FileNotFoundError):
                found = [v for v in find_videos([entry]) if not v.is_dir()]
        for video in found:
            videos.setdefault(os.path.realpath(video), str(video))
        if found and not _has_images(entry):
            continue
        if not found and _is_video(entry) and not os.path.lexists(entry):
            raise FileNotFoundError(f'{entry} does not exist')
        others.append(entry)
    return others, list(videos.values())


def _is_video(path: str) -> bool:
    return Path(path).suffix.lower() in VIDEOS


def _has_images(entry: str) -> bool:
    """Return True if a path, folder or pattern leads to an image."""
    if os.path.isfile(entry):
        return not _is_video(entry)
    try:
        find_images([entry])
    except FileNotFoundError:
        return False
    return True


def video_name(source: str) -> Path:
    """Return the name of a video, of which that of its result is made."""
    number = camera_number(source)
    if number is not None and not Path(source).exists():
        return Path(f'camera{number}')
    if is_address(source):
        name = Path(unquote(urlsplit(source).path)).name
        return Path(name or 'video')
    return Path(source)


def video_output(name: Path) -> Path:
    """Return the name of the video with predictions: `.mp4` at its end."""
    return name if name.suffix == '.mp4' else Path(f'{name}.mp4')


def camera_number(source: str) -> int | None:
    """Return the number in `camera:0` or `0`; None for other texts."""
    match = _CAMERA.fullmatch(source)
    return int(match[1]) if match else None


@contextmanager
def open_source(source: str) -> Iterator[FrameSource]:
    """Open a video file, the address of one, or a camera.

    Args:
        source: Path or address, or `camera:0` for the first camera.

    Raises:
        VideoError: If it cannot be opened or downloaded.
    """
    number = camera_number(source)
    if number is not None and not Path(source).exists():
        camera = cv2.VideoCapture(number)
        try:
            if not camera.isOpened():
                raise VideoError(
                    f'there is no camera {number}, or another program uses it'
                )
            rate = camera.get(cv2.CAP_PROP_FPS) or 25.0
            yield FrameSource(_read_camera(camera), rate, 0)
        finally:
            camera.release()
        return
    file: IO[bytes] | None = None
    if is_address(source):
        file = download_video(source)
    try:
        with Video(source if file is None else file.name) as video:
            yield FrameSource(
                _read_video(video, source), video.fps or 25.0, len(video)
            )
    finally:
        if file is not None:
            file.close()


def _read_video(video: Video, source: str) -> Iterator[Frame]:
    times = video.times()
    for index in range(video.num_frames):
        try:
            (pixels,) = video.frames([index])
        except VideoError as error:
            raise VideoError(
                f'{source}: frame {index} of {video.num_frames} cannot be '
                f'read: {error}'
            ) from error
        yield Frame(
            index,
            None if times is None else float(times[index]),
            np.ascontiguousarray(pixels[..., ::-1]),
        )


def _read_camera(camera: Any) -> Iterator[Frame]:
    index = 0
    while True:
        is_read, pixels = camera.read()
        if not is_read:
            return
        yield Frame(index, None, pixels)
        index += 1


def predict_video(
    predictor: Any,
    writer: Any,
    source: str,
    path: Path,
    batch_size: int = 1,
    most: int | None = None,
    make_tracker: MakeTracker | None = None,
    on_frame: Callable[[int, int], None] | None = None,
) -> tuple[int, str | None]:
    """Write a video with drawn predictions, and a JSON line for each frame.

    If a frame cannot be read or predicted, the frames before it are kept, and
    after Ctrl-C those that were predicted.

    Args:
        predictor: A `BasePredictor` for images.
        writer: Its `draw_frame` returns the picture of a result, (H, W, 3) in
            BGR, of one size for all frames; its `frame_entry` a dict for
            JSON.
        source: See `open_source`.
        path: The video to write, `NAME.mp4`. The lines are in `NAME.jsonl`.
        batch_size: Frames per forward pass.
        most: Largest number of frames; None for all.
        make_tracker: Gives results ids; see `MakeTracker`.
        on_frame: Called after each frame with the number of frames written,
            and of all frames, 0 if it is unknown.

    Returns:
        The number of frames written, and the problem that ended the video
        early, or None.

    Raises:
        KeyboardInterrupt: After Ctrl-C; but it is the normal end of a camera.
        VideoError: If no frame can be read.
    """
    problems: list[str] = []
    count = 0

    def draw(
        frames: Iterator[Frame], lines: IO[str]
    ) -> Generator[np.ndarray, None, None]:
        """Yield pictures in RGB, and write the lines."""
        nonlocal count
        for batch in _in_batches(frames, batch_size, most, problems):
            try:
                results = predictor.predict_batch([f.pixels for f in batch])
            except KeyboardInterrupt:
                problems.append(_INTERRUPTED)
                return
            except FAILURES as error:
                problems.append(
                    f'{source}: frame {batch[0].number} cannot be predicted: '
                    f'{cli.describe(error)}'
                )
                return
            for frame, result in zip(batch, results):
                if tracker is not None:
                    result = tracker.update(result)
                entry = {
                    'frame': frame.number,
                    'seconds': frame.seconds,
                    **writer.frame_entry(result),
                }
                lines.write(json.dumps(cli.finite(entry)) + '\n')
                lines.flush()
                count += 1
                if on_frame is not None:
                    on_frame(count, total)
                yield np.ascontiguousarray(
                    writer.draw_frame(result)[..., ::-1]
                )

    path.parent.mkdir(parents=True, exist_ok=True)
    with open_source(source) as opened:
        total = min(opened.length, most) if most else opened.length
        tracker = make_tracker(opened.fps) if make_tracker else None
        with path.with_suffix('.jsonl').open('w', encoding='utf-8') as lines:
            pictures = draw(opened.frames, lines)
            first = next(pictures, None)
            if first is None:
                if _INTERRUPTED in problems:
                    raise KeyboardInterrupt
                raise VideoError(
                    problems[0] if problems else f'{source} has no frames'
                )
            with closing(pictures):
                write_video(path, _chain(first, pictures), opened.fps)
    if _INTERRUPTED in problems:
        if opened.length:
            raise KeyboardInterrupt
        return count, None  # a camera has no other end
    if problems:
        return count, (
            f'{problems[0]}; the {counted(count, "frame")} before it are in '
            f'{path}'
        )
    return count, None


def _in_batches(
    frames: Iterator[Frame],
    size: int,
    most: int | None,
    problems: list[str],
) -> Iterator[list[Frame]]:
    """Yield frames in batches; stop at the first that cannot be read."""
    batch: list[Frame] = []
    try:
        for frame in frames:
            batch.append(frame)
            is_last = most is not None and frame.number + 1 >= most
            if len(batch) == size or is_last:
                yield batch
                batch = []
            if is_last:
                return
    except VideoError as error:
        problems.append(str(error))
    except KeyboardInterrupt:
        problems.append(_INTERRUPTED)
        return
    if batch:
        yield batch


def _chain(
    first: np.ndarray, others: Iterator[np.ndarray]
) -> Iterator[np.ndarray]:
    yield first
    yield from others


def predict_videos(
    predictor: Any,
    writer: Any,
    sources: Sequence[str],
    paths: Sequence[Path],
    batch_size: int,
    most: int | None = None,
    make_tracker: MakeTracker | None = None,
) -> list[str]:
    """Predict videos one by one; return a sentence for each bad one.

    Args:
        predictor: See `predict_video`, as the other arguments.
        writer: Draws and describes a result.
        sources: The videos.
        paths: The video to write for each.
        batch_size: Frames per forward pass.
        most: Largest number of frames of a video.
        make_tracker: Makes a tracker for each video.
    """
    bad = []
    for source, path in zip(sources, paths):
        try:
            with show_steps(video_name(source).name) as steps:
                count, problem = predict_video(
                    predictor,
                    writer,
                    source,
                    path,
                    batch_size,
                    most,
                    make_tracker,
                    on_frame=steps.reach,
                )
        except VideoError as error:
            bad.append(str(error))
            continue
        if problem is not None:
            bad.append(problem)
        print(f'{source}: {counted(count, "frame")}: {path}')
    return bad
