"""Labelled clips and strips show the scores."""

import numpy as np
import pytest

from helpers.moving_squares import CLASSES
from swin_dense.files import read_json

pytest.importorskip('mmaction', reason='the models are of mmaction2')

from swin_dense.video import write_predictions  # noqa: E402
from swin_dense.video.drawing import draw_strip  # noqa: E402


def test_clip_and_strip(predictor, video, tmp_path):
    from swin_dense.data.video_reader import Video

    prediction = predictor.predict(video())
    paths = [tmp_path / 'out' / name for name in ('a.mp4', 'a.jpg')]
    written = write_predictions.VideoResults(paths, tmp_path / 'out', 5)
    for index in range(2):
        written.add(index, prediction)
    written.close()
    assert '2 videos, 6 windows' in written.summary()
    with Video(str(paths[0])) as clip, Video(prediction.path) as source:
        assert clip.num_frames == 20 and clip.fps == 10
        (first,) = clip.frames([0])
        (frame,) = source.frames([0])
        assert first.shape[0] > 60 and first.shape[1] == 64
        # A frame above two lines of scores.
        gap = first[:48].astype(int) - frame
        assert np.abs(gap).mean() < 12
        assert first[48:].mean() > first[:48].mean()
        strip = draw_strip(source, prediction.windows, CLASSES)
    assert strip.shape[1] == 3 * 64
    first, _ = read_json(tmp_path / 'out' / 'predictions.json')
    assert len(first['top']) == 2  # there are only two classes
