"""Written videos are read back."""

import numpy as np
import pytest

from helpers.numbered_clips import numbered_frame
from swin_dense.data.video_reader import Video
from swin_dense.data.video_writer import write_video


def test_written_clips_are_read_back(tmp_path):
    frames = [numbered_frame(i)[:47] for i in range(10)]
    for path in (tmp_path / 'one.mp4', tmp_path / 'two.mp4'):
        write_video(path, frames, 12.5)
    assert path.read_bytes() == (tmp_path / 'one.mp4').read_bytes()
    with Video(path) as video:
        assert video.num_frames == 10 and video.fps == 12.5
        for actual, frame in zip(video.frames(range(10)), frames):
            assert actual.shape == (46, 128, 3)
            assert np.abs(actual.astype(int) - frame[:46]).mean() < 5
    with pytest.raises(ValueError, match='at least one frame'):
        write_video(tmp_path / 'none.mp4', [], 25)
    assert not (tmp_path / 'none.mp4').exists()
