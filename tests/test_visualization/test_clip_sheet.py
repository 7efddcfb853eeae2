"""A sheet of clips has rows of frames beside their classes."""

import numpy as np
import pytest

from swin_dense.visualization.clip_sheet import WRONG, clip_sheet


def clip(colour, truth, scores):
    frame = np.zeros((30, 60, 3), np.uint8)
    frame[:] = colour
    return [frame] * 3, truth, np.array(scores)


def test_frames_and_texts():
    sheet = clip_sheet(
        [clip((255, 0, 0), 1, [0.1, 0.9]), clip((0, 0, 255), 1, [0.7, 0.3])],
        ['run', 'jump'],
        tile=96,
    )
    # Two rows of frames of 96x48 pixels and the gaps below them.
    assert sheet.shape[0] == 2 * (48 + 4) and sheet.shape[1] > 3 * 100
    assert sheet.dtype == np.uint8
    for column in (0, 100, 200):
        # Red in BGR, then blue.
        assert sheet[20, column + 48].tolist() == [0, 0, 255]
        assert sheet[72, column + 48].tolist() == [255, 0, 0]
    band = sheet[:, 300:].astype(int)
    red = (band[..., 2] - band[..., 0]) > 100
    assert not red[:52].any() and red[52:].sum() > 20
    assert WRONG[2] > WRONG[0]


def test_clips_of_other_sizes_and_none():
    wide, tall = clip((9, 9, 9), 0, [1.0]), clip((9, 9, 9), 0, [1.0])
    tall = ([frame.transpose(1, 0, 2) for frame in tall[0]], *tall[1:])
    assert clip_sheet([wide, tall], ['a'], tile=64).shape[0] == 32 + 64 + 4
    with pytest.raises(ValueError, match='at least one clip'):
        clip_sheet([], ['a'])
