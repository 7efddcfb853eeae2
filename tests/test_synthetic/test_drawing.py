"""Shapes have exact masks, areas and hues."""

import cv2
import numpy as np
import pytest

from swin_dense.synthetic.drawing import SHAPES, draw_image


def test_masks_are_disjoint_and_as_many_as_labels():
    counts = []
    for seed in range(40):
        image, masks, labels = draw_image(np.random.default_rng(seed))
        assert image.shape == (256, 256, 3) and image.dtype == np.uint8
        assert masks.shape == (len(labels), 256, 256)
        assert masks.sum(0).max(initial=0) <= 1
        assert all(mask.sum() > 15 for mask in masks)
        counts.append(len(labels))
    assert set(counts) == {0, 2, 3, 4, 5}


def test_each_class_has_its_range_of_hues():
    hues = {0: [], 1: [], 2: []}
    for seed in range(40):
        image, masks, labels = draw_image(
            np.random.default_rng(seed), hues=True
        )
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV_FULL)
        for mask, label in zip(masks, labels):
            angle = np.exp(2j * np.pi * hsv[mask][:, 0] / 256).mean()
            hues[label].append(np.angle(angle) / 2 / np.pi % 1)
    for label, values in hues.items():
        # A pattern may shift the hue.
        inside = np.floor(3 * np.array(values)) == label
        assert len(values) > 20 and inside.mean() > 0.8
        assert np.ptp(np.array(values)[inside]) > 0.2


def test_later_shapes_hide_earlier_ones():
    """With little room the later shape must cover part of the first."""
    hidden = 0
    for seed in range(20):
        _, masks, _ = draw_image(
            np.random.default_rng(seed),
            (64, 64),
            ['square'],
            (2, 2),
            (28, 28),
            empty=0,
        )
        full = 2 * 28**2
        hidden += len(masks) == 2 and masks[0].sum() < 0.7 * full
    assert hidden > 10


@pytest.mark.parametrize('name', SHAPES)
def test_area_of_each_class(name):
    corners = SHAPES[name]
    x, y = corners.T
    expected = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    areas = []
    for seed in range(40):
        _, masks, _ = draw_image(
            np.random.default_rng(seed),
            (300, 300),
            [name],
            (1, 1),
            (40, 40),
            empty=0,
        )
        inside = not (masks[0][[0, -1]].any() or masks[0][:, [0, -1]].any())
        if inside:
            areas.append(masks[0].sum() / 40**2)
    assert len(areas) > 10
    # OpenCV also fills pixels on the border.
    np.testing.assert_allclose(areas, expected, rtol=0.08)
