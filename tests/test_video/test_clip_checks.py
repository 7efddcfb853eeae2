"""Checks of clips before training: findings, crashes and reports."""

import re

import numpy as np
import pytest

from helpers.numbered_clips import check_or_crash, write_clip
from swin_dense.video import clip_checks
from swin_dense.video.clip_checks import check_clips, check_video, check_videos
from swin_dense.video.clip_lists import Clip

pytest.importorskip('av', reason='clips are written by PyAV')


@pytest.fixture
def clips(tmp_path):
    """Write four clips, of which the second is damaged."""
    paths = []
    for number in range(4):
        path = tmp_path / f'{number}.mp4'
        paths.append(write_clip(path, 10 + number))
    content = (tmp_path / '1.mp4').read_bytes()
    (tmp_path / '1.mp4').write_bytes(content[:900])
    return paths


def test_properties_of_a_clip(clips):
    finding = check_video(clips[0])
    assert (
        finding.frames,
        finding.fps,
        finding.width,
        finding.height,
    ) == (
        10,
        25,
        128,
        48,
    )
    assert finding.seconds == pytest.approx(0.4)
    assert finding.decoder == 'pyav' and finding.problem is None
    assert check_video(clips[0], ['opencv']).decoder == 'opencv'


def test_problems_of_a_clip(clips, tmp_path):
    assert f'{clips[1]} cannot be read' in check_video(clips[1]).problem
    assert 'does not exist' in check_video('absent.mp4').problem


def test_a_file_that_ends_early(tmp_path):
    path = tmp_path / 'early.mp4'
    # With the header first, as in files for the web, a cut file can be opened.
    rng = np.random.default_rng(0)
    frames = [*rng.integers(0, 256, (60, 32, 32, 3), np.uint8)]
    write_clip(tmp_path / 'whole.mp4', frames=frames)
    import av

    with (
        av.open(str(tmp_path / 'whole.mp4')) as source,
        av.open(str(path), 'w', options={'movflags': 'faststart'}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    problem = check_video(str(path), ['pyav']).problem
    assert re.search('ends early: [23][0-9] of 60 frames are there', problem)


def test_many_clips_in_their_order(clips):
    calls = []
    findings = check_videos(
        [*clips, clips[0]], workers=2, on_progress=lambda: calls.append(1)
    )
    assert [finding.path for finding in findings] == clips
    assert [finding.frames for finding in findings] == [10, 0, 12, 13]
    assert len(calls) == 4


def test_a_crash_is_a_finding(clips, monkeypatch):
    monkeypatch.setattr(
        clip_checks, 'partial', lambda check, **kwargs: check_or_crash
    )
    findings = check_videos(clips, workers=2)
    assert findings[2].problem == f'{clips[2]} crashes the decoder'
    assert [finding.frames for finding in findings] == [10, 0, 0, 13]


def test_a_report(clips):
    labels = (0, 1, 7, 'run')
    listed = [
        Clip(path, label, f'line {i}', f'{i}.mp4')
        for i, (path, label) in enumerate(zip(clips, labels), 1)
    ]
    listed.append(Clip(clips[0], 0, 'line 5', '1.mp4'))
    report = check_clips(listed, ['jump', 'sit', 'run'], min_frames=12)
    reasons = [row['problem'] for row in report.rows]
    assert reasons[0] is None and reasons[3] is None
    assert reasons[1].startswith(f'{clips[1]} cannot be read')
    assert reasons[2] == 'label 7 is not among the 3 classes'
    assert reasons[4] == 'is a duplicate of an earlier line'
    assert [row['place'] for row in report.good] == ['line 1', 'line 4']
    assert report.rows[3]['class'] == 'run' and report.rows[3]['label'] == 2
    assert [problem.split(':')[0] for problem in report.problems] == [
        'line 3',
        f'{clips[0]} is listed more than once, with one label',
        'line 2',
    ]
    assert report.notes == [
        '1 clips have less than the 12 frames that sampling spans, and start '
        "again at their end: ['1.mp4']"
    ]
    assert report.table().splitlines() == [
        '  clips     5, usable 2',
        '  frames    10 to 13, median 11.5',
        '  seconds   0.4 to 0.52 s, median 0.46 s',
        '  fps       25 to 25, median 25',
        '  sizes     128x48 (2)',
        '  classes   2, 1 to 1 clips of each',
    ]
