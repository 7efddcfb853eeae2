"""Finding out which clips can be read and trained on, before a training."""

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np

from swin_dense.data.decoders.base import VideoError
from swin_dense.data.video_reader import Video, check_decoders
from swin_dense.video.clip_lists import Clip, duplicate_clips, number_labels

# A file with less than this share of the frames that it announces ends early.
COMPLETE = 0.95
# Clips given to the processes at a time: what a crash leaves to be repeated.
BATCH = 512


@dataclass
class VideoFinding:
    """What a clip is, and what is wrong with it.

    Attributes:
        path: The file or folder.
        frames: How many there are.
        fps: Frames per second on average; None if nothing says so.
        seconds: From the first frame to the end of the last one.
        width: Of a frame, in pixels.
        height: Of a frame, in pixels.
        decoder: What read it.
        problem: Why it cannot be used; None if it can.
    """

    path: str
    frames: int = 0
    fps: float | None = None
    seconds: float | None = None
    width: int = 0
    height: int = 0
    decoder: str = ''
    problem: str | None = None


def check_video(
    path: str, decoders: Sequence[str] | None = None
) -> VideoFinding:
    """Decode the first, the middle and the last frame of a clip.

    Args:
        path: The file or folder.
        decoders: Names in the order to be tried; None takes all there are.
    """
    found = VideoFinding(path)
    try:
        with Video(path, decoders) as video:
            if video.num_frames < COMPLETE * (video.header_frame_count or 0):
                found.problem = (
                    f'ends early: {video.num_frames} of '
                    f'{video.header_frame_count} frames are there'
                )
            last = video.num_frames - 1
            picture = video.frames([0, last // 2, last])[0]
            found.frames = video.num_frames
            found.fps = video.fps
            found.decoder = video.decoder
            found.height, found.width = picture.shape[:2]
            times = video.times()
            if times is not None:
                found.seconds = float(times[-1] + 1 / (video.fps or np.inf))
    except VideoError as error:
        found.problem = found.problem or str(error)
    return found


def check_videos(
    paths: Sequence[str],
    decoders: Sequence[str] | None = None,
    workers: int | None = None,
    on_progress: Callable[[], Any] = lambda: None,
) -> list[VideoFinding]:
    """Check clips, several at a time.

    A file on which a decoder crashes is a finding like any other.

    Args:
        paths: Files or folders.
        decoders: Names in the order to be tried, see `check_decoders`.
        workers: Processes; None takes one for each core, eight at most.
        on_progress: Called after each clip.

    Returns:
        A finding for each of `paths`, in their order.
    """
    decoders = check_decoders(decoders)
    paths = list(dict.fromkeys(paths))
    if workers is None:
        workers = min(8, os.cpu_count() or 1)
    check = partial(check_video, decoders=decoders)
    found: dict[str, VideoFinding] = {}
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        done = _in_processes(check, batch, workers, on_progress)
        for path in batch:
            found[path] = done.get(path) or _alone(check, path, on_progress)
    return [found[path] for path in paths]


def _context() -> multiprocessing.context.BaseContext:
    """How processes start: clean, as OpenCV may hang in a forked one."""
    if 'forkserver' not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context('spawn')
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload([__name__])
    return context


def _in_processes(
    check: Callable[[str], VideoFinding],
    paths: Sequence[str],
    workers: int,
    on_progress: Callable[[], Any],
) -> dict[str, VideoFinding]:
    """Findings by path, all unless a process crashes."""
    found: dict[str, VideoFinding] = {}
    with ProcessPoolExecutor(
        min(workers, len(paths)), mp_context=_context()
    ) as pool:
        try:
            futures = [pool.submit(check, path) for path in paths]
            for future in as_completed(futures):
                result = future.result()
                found[result.path] = result
                on_progress()
        except BrokenProcessPool:
            pass  # whoever crashed is found when each has its own process
    return found


def _alone(
    check: Callable[[str], VideoFinding],
    path: str,
    on_progress: Callable[[], Any],
) -> VideoFinding:
    """The finding of one clip; a crash is one."""
    found = _in_processes(check, [path], 1, on_progress)
    if path in found:
        return found[path]
    on_progress()
    return VideoFinding(path, problem=f'{path} crashes the decoder')


@dataclass
class VideoReport:
    """What a list of clips holds, and what is wrong with it.

    Attributes:
        rows: For each clip: where it is listed, its path as listed, label,
            name of the class, the values of VideoFinding, and `problem`.
        problems: Sentences: with these, a training would fail or be wrong.
        notes: Sentences on what may be meant so.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def good(self) -> list[dict[str, Any]]:
        """Rows of clips that can be used."""
        return [row for row in self.rows if row['problem'] is None]

    def table(self) -> str:
        """What the clips are like, in a few lines."""
        good = self.good
        lines = [f'  clips     {len(self.rows)}, usable {len(good)}']
        for key, unit in (('frames', ''), ('seconds', ' s'), ('fps', '')):
            values = [row[key] for row in good if row[key] is not None]
            if values:
                lines.append(
                    '  {:9} {:.6g} to {:.6g}{unit}, median {:.6g}{unit}'.format(  # noqa: E501
                        key,
                        min(values),
                        max(values),
                        np.median(values),
                        unit=unit,
                    )
                )
        sizes = Counter((row['width'], row['height']) for row in good)
        shown = ', '.join(
            f'{width}x{height} ({count})'
            for (width, height), count in sizes.most_common(3)
        )
        more = f', {len(sizes) - 3} other sizes' if len(sizes) > 3 else ''
        if sizes:
            lines.append(f'  sizes     {shown}{more}')
        counts = Counter(row['class'] for row in good)
        if counts:
            lines.append(
                f'  classes   {len(counts)}, {min(counts.values())} '
                f'to {max(counts.values())} clips of each'
            )
        return '\n'.join(lines)


def check_clips(
    clips: Sequence[Clip],
    classes: Sequence[str],
    *,
    min_frames: int = 1,
    **options: Any,
) -> VideoReport:
    """Check a list: labels, repetitions, and every clip.

    Args:
        clips: What is listed.
        classes: Names in label order.
        min_frames: Shorter clips are noted.
        options: Arguments of `check_videos`.
    """
    labels, problems = number_labels(clips, classes)
    report = VideoReport(problems=problems + duplicate_clips(clips, labels))
    found = {
        one.path: one
        for one in check_videos([clip.path for clip in clips], **options)
    }
    seen = set()
    for clip, label in zip(clips, labels):
        finding = asdict(found[clip.path])
        problem = finding['problem']
        if problem:
            report.problems.append(f'{clip.place}: {problem}')
        elif clip.label is None:
            problem = 'has no label'
        elif label < 0:
            problem = (
                f'label {clip.label!r} is none of the {len(classes)} classes'
            )
        elif os.path.normpath(clip.path) in seen:
            problem = 'is listed before'
        seen.add(os.path.normpath(clip.path))
        report.rows.append(
            {
                'place': clip.place,
                'name': clip.name,
                'label': label,
                'class': classes[label] if label >= 0 else clip.label,
                **finding,
                'problem': problem,
            }
        )
    short = [row['name'] for row in report.good if row['frames'] < min_frames]
    if short:
        report.notes.append(
            f'{len(short)} clips have less than the {min_frames} frames that '
            f'sampling spans, and start again at their end: {short[:3]}'
        )
    return report
