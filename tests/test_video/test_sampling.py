"""Windows in time equal values by hand and mmaction2's sampling."""

import numpy as np
import pytest

from swin_dense.video.sampling import Sampling, count_views, place_windows


@pytest.mark.parametrize(
    'frames, span, stride, expected',
    [
        (20, 8, 8, [0, 8, 12]),
        (16, 8, 8, [0, 8]),
        (17, 8, 8, [0, 8, 9]),
        (8, 8, 8, [0]),
        (5, 8, 8, [0]),
        (20, 8, 4, [0, 4, 8, 12]),
        (100, 8, 40, [0, 40, 80, 92]),
    ],
)
def test_places(frames, span, stride, expected):
    starts = place_windows(frames, span, stride)
    assert starts == expected
    assert starts[-1] + span >= frames


def test_frames_of_windows():
    windows = Sampling(4, 2).windows(20)
    assert [(w.first, w.last) for w in windows] == [(0, 7), (8, 15), (12, 19)]
    assert [w.frames.tolist() for w in windows] == [
        [0, 2, 4, 6],
        [8, 10, 12, 14],
        [12, 14, 16, 18],
    ]
    assert not any(w.wraps_around for w in windows)


def test_a_short_video_starts_again():
    (window,) = Sampling(4, 2).windows(5)
    assert (window.first, window.last, window.wraps_around) == (0, 4, True)
    assert window.frames.tolist() == [0, 2, 4, 1]
    (window,) = Sampling(4, 2).windows(1)
    assert window.frames.tolist() == [0, 0, 0, 0]


def test_another_rate():
    # Twice as many frames per second are sampled twice as far apart.
    first, *_ = Sampling(4, 2).windows(64, speed=2.0)
    assert first.frames.tolist() == [0, 4, 8, 12] and first.last == 15
    first, *_ = Sampling(4, 1).windows(64, speed=0.5)
    assert first.frames.tolist() == [0, 0, 1, 1] and first.last == 1


def test_frames_are_those_that_mmaction2_samples():
    loading = pytest.importorskip(
        'mmaction.datasets.transforms', reason='mmaction2 is not installed'
    )
    for frames in (5, 8, 20):
        sample = loading.SampleFrames(4, 2, num_clips=1, test_mode=True)
        host_indices = sample(dict(total_frames=frames, start_index=0))
        middle = max(0, (frames - 8) // 2)
        window = Sampling(4, 2).windows(frames, stride=1)[middle]
        assert host_indices['frame_inds'].tolist() == window.frames.tolist()
    for frames in (2, 4, 13, 50):
        sample = loading.UniformSample(4, test_mode=True)
        host_indices = sample(dict(total_frames=frames, start_index=0))
        (window,) = Sampling(4, None).windows(frames)
        assert host_indices['frame_inds'].tolist() == window.frames.tolist()
        assert (window.first, window.last) == (0, frames - 1)


def test_spread_frames_of_shorter_windows():
    windows = Sampling(4, None).windows(20, length=8)
    assert [(w.first, w.last) for w in windows] == [(0, 7), (8, 15), (12, 19)]
    assert windows[1].frames.tolist() == [8, 10, 12, 13]


def test_sampling_of_a_pipeline():
    sample = dict(type='SampleFrames', clip_len=32, frame_interval=2)
    assert Sampling.from_pipeline(
        [dict(type='VideoInit'), sample]
    ) == Sampling(32, 2)
    sample = dict(type='mmaction.UniformSample', clip_len=16)
    assert Sampling.from_pipeline([sample]) == Sampling(16, None)
    with pytest.raises(ValueError, match='no SampleFrames'):
        Sampling.from_pipeline([dict(type='Resize')])


def test_windows_cover_every_frame():
    rng = np.random.default_rng(0)
    for _ in range(50):
        frames = int(rng.integers(1, 200))
        sampling = Sampling(int(rng.integers(1, 9)), int(rng.integers(1, 5)))
        covered = {
            frame
            for w in sampling.windows(frames)
            for frame in range(w.first, w.last + 1)
        }
        assert covered == set(range(frames))


@pytest.mark.parametrize(
    'crop, crops',
    [
        (dict(type='CenterCrop', crop_size=224), 1),
        (dict(type='mmaction.ThreeCrop', crop_size=224), 3),
        (dict(type='TenCrop', crop_size=224), 10),
        (dict(type='swin_dense.EvenCrops', crop_size=224, count=5), 5),
    ],
)
def test_views(crop, crops):
    sample = dict(type='SampleFrames', clip_len=32, num_clips=4)
    views = count_views([sample, crop])
    assert views == (4, crops)
    assert str(views) == f'4 clips x {crops} crops = {4 * crops} views'
