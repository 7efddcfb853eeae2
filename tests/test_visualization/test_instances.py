"""Masks, boxes and labels are drawn at their places."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from swin_dense.visualization import class_colour, draw_instances
from swin_dense.visualization.instances import _overlap, _place

CLASSES = ['circle', 'square']


def instances(boxes, labels, **fields):
    return SimpleNamespace(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels),
        **fields,
    )


def grey(height=120, width=160):
    return np.full((height, width, 3), 128, np.uint8)


def test_box_has_the_colour_of_its_class():
    image = grey()
    picture = draw_instances(
        image, instances([[30, 40, 90, 100]], [1]), CLASSES
    )
    for y, x in ((100, 60), (70, 30), (70, 90)):
        assert tuple(picture[y, x]) == class_colour(1)
    assert (picture[110:] == 128).all() and (
        picture[60:90, 40:80] == 128
    ).all()
    assert (image == 128).all(), 'the image itself was drawn on'


def test_mask_is_tinted_inside_and_nowhere_else():
    mask = torch.zeros(1, 120, 160, dtype=torch.bool)
    mask[0, 50:90, 40:80] = True
    picture = draw_instances(
        grey(), instances([[30, 40, 90, 100]], [0], masks=mask), CLASSES
    )
    expected = 128 * 0.58 + 0.42 * np.array(class_colour(0))
    np.testing.assert_allclose(picture[70, 60], expected, atol=1)
    assert (picture[95, 60] == 128).all()
    # Antialiasing changes the colour slightly.
    np.testing.assert_allclose(picture[50, 60], class_colour(0), atol=15)


def test_scores_below_the_threshold_are_left_out():
    low = instances([[30, 40, 90, 100]], [0], scores=torch.tensor([0.29]))
    assert (draw_instances(grey(), low, CLASSES, 0.3) == 128).all()
    high = instances([[30, 40, 90, 100]], [0], scores=torch.tensor([0.3]))
    assert (draw_instances(grey(), high, CLASSES, 0.25) != 128).any()


def test_nothing_to_draw_gives_the_image():
    masks = torch.zeros(0, 120, 160, dtype=torch.bool)
    none = instances([], [], scores=torch.zeros(0), masks=masks)
    assert (draw_instances(grey(), none, CLASSES) == 128).all()


def test_masks_of_hosts_are_read():
    bitmaps = SimpleNamespace(
        to_ndarray=lambda: np.ones((1, 120, 160), np.uint8)
    )
    boxes = SimpleNamespace(tensor=torch.tensor([[30.0, 40.0, 90.0, 100.0]]))
    picture = draw_instances(
        grey(),
        SimpleNamespace(bboxes=boxes, labels=torch.tensor([0]), masks=bitmaps),
        CLASSES,
    )
    assert (picture != 128).any(axis=2).all()


@pytest.mark.parametrize(
    'box',
    [
        [0, 0, 20, 20],
        [150, 110, 160, 120],
        [0, 110, 10, 120],
        [-50, -50, 300, 300],
    ],
)
def test_labels_stay_inside_the_image(box):
    x0, y0, x1, y1 = _place(np.array(box), (70, 16), (120, 160, 3), [])
    assert (x1 - x0, y1 - y0) == (70, 16)
    assert 0 <= x0 and 0 <= y0 and x1 <= 160 and y1 <= 120


def test_labels_avoid_each_other():
    box, taken = np.array([40, 40, 120, 100]), []
    for _ in range(4):
        place = _place(box, (50, 14), (120, 160, 3), taken)
        assert not any(_overlap(place, other) for other in taken)
        taken.append(place)


def test_labels_wider_than_the_image_are_cut():
    picture = draw_instances(
        grey(40, 30),
        instances([[2, 2, 28, 38]], [0]),
        ['a name as long as this'],
    )
    assert picture.shape == (40, 30, 3)


def test_bad_images_masks_and_labels_are_refused():
    box = [[30, 40, 90, 100]]
    with pytest.raises(ValueError, match=r'masks are \(60, 80\), the image'):
        draw_instances(
            grey(), instances(box, [0], masks=torch.ones(1, 60, 80)), CLASSES
        )
    with pytest.raises(ValueError, match='label 2 has no name among 2'):
        draw_instances(grey(), instances(box, [2]), CLASSES)
    with pytest.raises(ValueError, match=r'\(H, W, 3\) and uint8'):
        draw_instances(np.zeros((9, 9)), instances(box, [0]), CLASSES)
