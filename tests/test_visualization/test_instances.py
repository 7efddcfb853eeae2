"""Masks, boxes and labels are drawn at their places."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from swin_dense.visualization import class_colour, draw_instances
from swin_dense.visualization.chips import overlaps, place_chips
from swin_dense.visualization.palette import instance_colour
from swin_dense.visualization.text import text_size

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
        image, instances([[30, 40, 90, 100]], [1]), CLASSES, colour_by='class'
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
    (chip,) = place_chips(np.array([box], float), ['circle'], (120, 160), 12)
    x0, y0, x1, y1 = chip.box
    assert x1 - x0 >= text_size('circle', chip.size)[0]
    assert 0 <= x0 and 0 <= y0 and x1 <= 160 and y1 <= 120


def test_labels_avoid_each_other():
    boxes = np.array([[40, 40, 120, 100]] * 4, float)
    chips = place_chips(boxes, ['circle'] * 4, (120, 160), 12)
    places = np.array([chip.box for chip in chips if chip])
    assert len(places) > 2
    for number, place in enumerate(places):
        assert not overlaps(place, np.delete(places, number, 0)).any()


def test_labels_shrink_and_drop_out_in_a_crowd():
    x, y = np.meshgrid(np.arange(0, 400, 12.0), np.arange(0, 300, 12.0))
    corner = np.stack([x.ravel(), y.ravel()], 1)  # (N, 2)
    boxes = np.hstack([corner, corner + 14])
    chips = place_chips(boxes, ['circle 0.50'] * len(boxes), (320, 420), 16)
    assert chips[0] is not None and None in chips
    large = np.array([[100, 100, 300, 300.0]])
    (alone,) = place_chips(large, ['circle'], (320, 420), 16)
    assert alone.size == 16
    assert {chip.size for chip in chips if chip} <= {9, 10}
    # Its corner is the corner of the box.
    assert alone.box[0] == 100 and alone.box[3] == 100


def test_each_instance_has_its_colour():
    boxes = [[10, 40, 40, 100], [60, 40, 90, 100], [110, 40, 140, 100]]
    found = instances(boxes, [0, 0, 0], scores=torch.tensor([0.5, 0.9, 0.7]))
    picture = draw_instances(grey(), found, CLASSES, labels=False)
    for rank, x in ((0, 60), (1, 110), (2, 10)):  # by score
        assert tuple(picture[70, x]) == instance_colour(rank)
    assert len({instance_colour(number) for number in range(12)}) == 12
    assert instance_colour(12) == instance_colour(0)
    palette = [(1, 2, 3), (4, 5, 6)]
    picture = draw_instances(
        grey(), found, CLASSES, colour_by='class', palette=palette
    )
    for x in (10, 60, 110):
        assert tuple(picture[70, x]) == (3, 2, 1)  # BGR
    with pytest.raises(ValueError, match="'instance' or 'class', got 'score'"):
        draw_instances(grey(), found, CLASSES, colour_by='score')


def test_labels_and_masks_can_be_left_out():
    mask = torch.zeros(1, 120, 160, dtype=torch.bool)
    mask[0, 50:90, 40:80] = True
    one = instances([[30, 40, 90, 100]], [0], masks=mask)
    picture = draw_instances(grey(), one, CLASSES, masks=False)
    assert (picture[50:90, 40:80] == 128).all()
    assert (picture[:39] != 128).any()
    picture = draw_instances(grey(), one, CLASSES, labels=False)
    assert (picture[:39] == 128).all() and (picture[70, 60] != 128).any()


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
