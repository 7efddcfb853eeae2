"""Generated clips show the motion of their class, and are reproducible."""

import json

import cv2
import numpy as np
import pytest

from swin_dense.data.video_reader import Video
from swin_dense.synthetic.motions import (
    LIST,
    MANIFEST,
    MOTIONS,
    draw_motion,
    generate_motions,
)
from swin_dense.synthetic.scenes import item_rng

pytest.importorskip('av', reason='clips are written by PyAV')

# Mean difference of a frame, of 255: H.264 removes most of the noise.
CODEC_ERROR = 8.0


def draw(motion, index=0, **kwargs):
    return np.stack([*draw_motion(item_rng('t', index, 0), motion, **kwargs)])


def shape_of(frames, index):
    """Return the mask of the shape: pixels that differ from the background."""
    ground = np.median(frames, axis=0)
    apart = np.abs(frames[index].astype(float) - ground).sum(-1)
    return cv2.GaussianBlur(apart, (5, 5), 0) > 60


@pytest.mark.parametrize('motion', MOTIONS)
def test_opposite_motions_are_the_same_clip_backwards(motion):
    names = list(MOTIONS)
    opposite = names[names.index(motion) ^ 1]
    clip, reversed_clip = draw(motion), draw(opposite)[::-1]
    assert clip.shape == (32, 96, 96, 3) and clip.dtype == np.uint8
    assert np.abs(clip.astype(int) - reversed_clip).mean() < 10  # noise alone
    assert (
        np.abs(clip[0].astype(int) - clip[-1]).mean()
        > np.abs(clip[0].astype(int) - reversed_clip[0]).mean()
    )


@pytest.mark.parametrize(
    'motion, axis, sign',
    [('left', 1, -1), ('right', 1, 1), ('up', 0, -1), ('down', 0, 1)],
)
def test_the_shape_moves_as_named(motion, axis, sign):
    frames = draw(motion, num_frames=40)
    first, last = (
        np.argwhere(shape_of(frames, index)).mean(0) for index in (0, 39)
    )
    step = (last - first) * sign
    assert 0.2 * 96 < step[axis] < 0.55 * 96
    assert abs(step[1 - axis]) < 4


def test_the_shape_grows_as_named():
    # The shape always covers the middle, so its size is compared by edges.
    frames = draw('grow')
    sizes = []
    for frame in (frames[0], frames[-1]):
        apart = np.abs(frame.astype(float) - frames[0]).sum(-1)
        sizes.append((cv2.GaussianBlur(apart, (5, 5), 0) > 60).sum())
    assert sizes[0] == 0 and sizes[1] > 300


def test_clockwise_turns_the_top_to_the_right():
    rng = np.random.default_rng(0)
    frames = np.stack([*draw_motion(rng, 'clockwise', 33, 96)])
    grey = [
        cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
        for frame in frames[:2]
    ]
    flow = cv2.calcOpticalFlowFarneback(*grey, None, 0.5, 2, 11, 5, 5, 1.1, 0)
    y, x = np.mgrid[:96, :96] - 47.5
    moving = np.linalg.norm(flow, axis=-1) > 0.5
    # The rotational part of the motion about the middle of the shape.
    y, x = y - y[moving].mean(), x - x[moving].mean()
    turn = (x * flow[..., 1] - y * flow[..., 0])[moving].mean()
    assert turn > 0


def test_clips_are_written_once_and_read_back(tmp_path, logged):
    generate_motions(tmp_path, {'train': 9}, image_size=64, num_frames=8)
    folder = tmp_path / 'train'
    lines = (folder / LIST).read_text().splitlines()
    assert lines[0] == '00000001.mp4 0' and lines[8] == '00000009.mp4 0'
    assert [line.split()[1] for line in lines] == [*'012345670']
    assert 'Drew 9 clips into' in logged.text
    info = json.loads((folder / MANIFEST).read_text())['info']
    assert info['description'] == 'Clips of moving shapes drawn by swin_dense'
    drawn = np.stack([*draw_motion(item_rng('train', 3, 0), 'down', 8, 64)])
    with Video(folder / '00000004.mp4') as video:
        assert video.num_frames == 8 and video.fps == 16
        read = np.stack(video.frames(range(8)))
    assert np.abs(read.astype(int) - drawn).mean() < CODEC_ERROR
    # Each decoded frame is nearest to the frame that was written.
    apart = np.abs(read[:, None].astype(int) - drawn).mean((2, 3, 4))
    np.testing.assert_array_equal(apart.argmin(1), range(8))

    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    generate_motions(tmp_path, {'train': 9}, image_size=64, num_frames=8)
    assert before == {
        path.name: path.stat().st_mtime_ns for path in folder.iterdir()
    }
    generate_motions(
        tmp_path / 'again', {'train': 3}, image_size=64, num_frames=8
    )
    for name in ('00000001.mp4', '00000003.mp4'):
        again = tmp_path / 'again' / 'train' / name
        assert again.read_bytes() == (folder / name).read_bytes()
    with pytest.raises(
        ValueError, match='was generated with seed=0; requested is seed=1'
    ):
        generate_motions(
            tmp_path, {'train': 9}, image_size=64, num_frames=8, seed=1
        )


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    from swin_dense.synthetic import motions

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(motions, 'write_manifest', stop)
    with pytest.raises(KeyboardInterrupt):
        generate_motions(tmp_path, {'train': 2}, num_frames=2)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    'wrong, message',
    [
        (dict(classes=['left', 'back']), r"unknown motions \['back'\]"),
        (dict(classes=[]), 'unknown motions'),
        (dict(image_size=65), 'an even size'),
        (dict(num_frames=1), 'at least 2 frames'),
        (dict(fps=0), 'a rate above 0'),
    ],
)
def test_impossible_parameters(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        generate_motions(tmp_path, {'train': 2}, **wrong)
    with pytest.raises(ValueError, match='num_clips=0 must be at least 1'):
        generate_motions(tmp_path, {'train': 0})
