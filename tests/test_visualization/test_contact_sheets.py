"""Contact sheets arrange pairs of pictures in columns."""

from types import SimpleNamespace

import numpy as np
import pytest

from swin_dense.visualization import class_colour, contact_sheet


def entry(size, label):
    height, width = size
    mask = np.zeros((1, height, width), bool)
    mask[:, height // 4 : height // 2, width // 4 : width // 2] = True
    instances = SimpleNamespace(
        bboxes=np.array([[width / 4, height / 4, width / 2, height / 2]]),
        labels=np.array([label]),
        masks=mask,
    )
    return np.full((height, width, 3), 128, np.uint8), instances


def test_rows_hold_ground_truth_beside_prediction():
    image, truth = entry((30, 60), 0)
    _, prediction = entry((30, 60), 1)
    sheet = contact_sheet(
        [(image, truth, prediction)] * 3, ['a', 'b'], tile=320
    )
    gap, tile, height = 10, 320, 160
    pitch = 2 * tile + 4 * gap
    head = sheet.shape[0] - 2 * (height + gap)
    assert sheet.shape[1] == 2 * pitch and 0 < head < 80
    assert (sheet[:head] < 100).any(), 'no titles'
    for row, column in ((0, 0), (0, 1), (1, 0)):
        y = head + row * (height + gap) + height * 3 // 8
        x = column * pitch + 15 + tile * 3 // 8
        for at, label in ((x, 0), (x + tile + gap, 1)):
            tint = 128 * 0.58 + 0.42 * np.array(class_colour(label))
            np.testing.assert_allclose(sheet[y, at], tint, atol=1)
    # The fourth place is empty.
    assert (sheet[head + height + gap :, pitch:] == 250).all()


def test_images_of_any_shape_share_a_sheet():
    rows = []
    for size in ((30, 60), (90, 20), (400, 500)):
        image, instances = entry(size, 0)
        rows.append((image, instances, instances))
    sheet = contact_sheet(rows, ['a'], columns=1, tile=128)
    gap, heights = 4, 64 + 128 + 102
    assert sheet.shape[1] == 2 * 128 + 4 * gap
    assert 0 < sheet.shape[0] - heights - 3 * gap < 60


def test_needs_an_image():
    with pytest.raises(ValueError, match='at least one image'):
        contact_sheet([], ['a'])
