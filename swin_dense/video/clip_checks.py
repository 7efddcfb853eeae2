"""Check before training which clips can be read."""

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

# A file with less than this share of the frames in its header is truncated.
COMPLETE = 0.95
# Clips that are given to the processes at a time. After a crash of a decoder
# the unfinished ones of a batch are checked again, each in its own process.
BATCH = 512


@dataclass
class VideoFinding:
    """Properties of a clip, and why it cannot be used.

    Attributes:
        path: The file or folder.
        frames: Number of frames.
        fps: Mean frames per second; None if the file does not say.
        seconds: Duration, to the end of the last frame; None if the file does
            not say.
        width: Width of a frame in pixels.
        height: Height of a frame in pixels.
        decoder: Name of the decoder that read the clip.
        problem: Why the clip cannot be used; None if it can.
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
        decoders: Names in the order to be tried; None takes all that are
            installed.

    Returns:
        The finding. Errors are in its `problem`.
    """
    finding = VideoFinding(path)
    try:
        with Video(path, decoders) as video:
            if video.num_frames < COMPLETE * (video.header_frame_count or 0):
                finding.problem = (
                    f'ends early: {video.num_frames} of '
                    f'{video.header_frame_count} frames are there'
                )
            last = video.num_frames - 1
            picture = video.frames([0, last // 2, last])[0]
            finding.frames = video.num_frames
            finding.fps = video.fps
            finding.decoder = video.decoder
            finding.height, finding.width = picture.shape[:2]
            times = video.times()
            if times is not None:
                finding.seconds = float(times[-1] + 1 / (video.fps or np.inf))
    except VideoError as error:
        finding.problem = finding.problem or str(error)
    return finding


def check_videos(
    paths: Sequence[str],
    decoders: Sequence[str] | None = None,
    workers: int | None = None,
    on_progress: Callable[[], Any] = lambda: None,
) -> list[VideoFinding]:
    """Check clips in several processes.

    A file that crashes a decoder gets a finding, too.

    Args:
        paths: Files or folders.
        decoders: Names in the order to be tried; see `check_decoders`.
        workers: Number of processes; None takes one per core, at most eight.
        on_progress: Called after each clip.

    Returns:
        A finding for each different path, in the order of `paths`.
    """
    decoders = check_decoders(decoders)
    paths = list(dict.fromkeys(paths))
    if workers is None:
        workers = min(8, os.cpu_count() or 1)
    check = partial(check_video, decoders=decoders)
    findings: dict[str, VideoFinding] = {}
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        done = _in_processes(check, batch, workers, on_progress)
        for path in batch:
            findings[path] = done.get(path) or _alone(check, path, on_progress)
    return [findings[path] for path in paths]


def _context() -> multiprocessing.context.BaseContext:
    """Return a context without fork: OpenCV may hang in a forked process."""
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
    """Return findings by path: of all clips, unless a process crashes."""
    findings: dict[str, VideoFinding] = {}
    with ProcessPoolExecutor(
        min(workers, len(paths)), mp_context=_context()
    ) as pool:
        try:
            futures = [pool.submit(check, path) for path in paths]
            for future in as_completed(futures):
                finding = future.result()
                findings[finding.path] = finding
                on_progress()
        except BrokenProcessPool:
            pass  # the caller checks the missing clips one by one
    return findings


def _alone(
    check: Callable[[str], VideoFinding],
    path: str,
    on_progress: Callable[[], Any],
) -> VideoFinding:
    """Check a clip in its own process, so that a crash shows the file."""
    findings = _in_processes(check, [path], 1, on_progress)
    if path in findings:
        return findings[path]
    on_progress()
    return VideoFinding(path, problem=f'{path} crashes the decoder')


@dataclass
class VideoReport:
    """The clips of a list, and problems with them.

    Attributes:
        rows: A dict for each clip: `place` and `name` in the list, `label`,
            `class`, and the attributes of its VideoFinding.
        problems: Sentences on errors, with which training would fail or
            learn the wrong classes.
        notes: Sentences on unusual things that may be intended.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def good(self) -> list[dict[str, Any]]:
        """Rows of clips that can be used."""
        return [row for row in self.rows if row['problem'] is None]

    def table(self) -> str:
        """Return a summary of lengths, rates, sizes and classes as text."""
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
    """Check the labels of a list, duplicates, and every clip.

    Args:
        clips: Clips of the list.
        classes: Class names in label order.
        min_frames: Clips with fewer frames are noted.
        options: Arguments of `check_videos`.

    Returns:
        The report; a clip is usable if its row has no problem.
    """
    labels, problems = number_labels(clips, classes)
    report = VideoReport(problems=problems + duplicate_clips(clips, labels))
    findings = {
        finding.path: finding
        for finding in check_videos([clip.path for clip in clips], **options)
    }
    seen = set()
    for clip, label in zip(clips, labels):
        finding = asdict(findings[clip.path])
        problem = finding['problem']
        if problem:
            report.problems.append(f'{clip.place}: {problem}')
        elif clip.label is None:
            problem = 'has no label'
        elif label < 0:
            problem = (
                f'label {clip.label!r} is not among the {len(classes)} classes'
            )
        elif os.path.normpath(clip.path) in seen:
            problem = 'is a duplicate of an earlier line'
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
