"""Clips are opened and decoded in a pipeline of mmaction2."""

import pytest

from helpers.numbered_clips import number_of, write_clip

pytest.importorskip('mmaction', reason='needs mmaction2')
pytest.importorskip('av', reason='clips are written by PyAV')

from mmaction.datasets.transforms import SampleFrames  # noqa: E402

from swin_dense.data.decoders.base import VideoError  # noqa: E402
from swin_dense.video.decode_transforms import (  # noqa: E402
    VideoDecode,
    VideoInit,
)


@pytest.fixture
def path(tmp_path):
    return write_clip(tmp_path / 'clip.mp4', 10)


def test_the_sampled_frames_are_decoded(path, logged):
    results = VideoInit().transform(dict(filename=path))
    assert results['total_frames'] == 10 and results['avg_fps'] == 25
    results['frame_inds'] = [[7, 2], [2, 9]]  # (clips, frames)
    results = VideoDecode().transform(results)
    assert [number_of(frame) for frame in results['imgs']] == [7, 2, 2, 9]
    assert results['original_shape'] == results['img_shape'] == (48, 128)
    assert results['video_reader'] is None
    assert 'repeated' not in logged.text
    results = VideoInit().transform(dict(filename=path))
    results['frame_inds'] = [10]
    with pytest.raises(VideoError, match='has the frames 0 to 9'):
        VideoDecode().transform(results)


def test_short_clips_are_repeated_and_one_is_logged(path, logged):
    sample, decode = SampleFrames(clip_len=6, frame_interval=3), VideoDecode()
    for _ in range(2):
        results = VideoInit().transform(dict(filename=path))
        frames = decode(sample(results))['imgs']
        assert [number_of(frame) for frame in frames] == [0, 3, 6, 9, 2, 5]
    assert logged.text.count('clips are repeated from their start') == 1
    assert '10 frames, and 6 frames in steps of 3 span 16' in logged.text


def test_decoders_are_passed_on(path):
    results = VideoInit(['opencv']).transform(dict(filename=path))
    assert results['video_reader'].decoder == 'opencv'
    with pytest.raises(ValueError, match='choose from'):
        VideoInit(['cv2'])
