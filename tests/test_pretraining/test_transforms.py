"""Augmentation of images without labels."""

import numpy as np
import pytest
import torch

from swin_dense.pretraining.transforms import (
    HorizontalFlip,
    PackImages,
    RandomResizedCrop,
)


def gradient(height, width):
    """Return an image whose first two channels are row and column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, 0 * rows], -1).astype(np.uint8)


def test_rectangles_have_the_areas_and_ratios_of_the_ranges():
    np.random.seed(0)
    crop = RandomResizedCrop(8, scale=(0.2, 0.5), ratio=(0.5, 2))
    drawn = np.array([crop.draw(100, 100) for _ in range(500)])
    top, left, height, width = drawn.T
    assert (top >= 0).all() and (top + height <= 100).all()
    assert (left >= 0).all() and (left + width <= 100).all()
    areas, ratios = height * width / 1e4, width / height
    assert 0.19 < areas.min() < 0.21 and 0.48 < areas.max() < 0.51
    assert 0.49 < ratios.min() < 0.53 and 1.9 < ratios.max() < 2.05
    # Uniform in the area, and in the logarithm of the ratio.
    assert areas.mean() == pytest.approx(0.35, abs=0.01)
    assert np.log(ratios).mean() == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(
    'size, rectangle',
    [((10, 90), (0, 38, 10, 13)), ((90, 10), (38, 0, 13, 10))],
)
def test_a_narrow_image_gives_its_centre(size, rectangle):
    crop = RandomResizedCrop(8, scale=(0.9, 1.0))
    assert crop.draw(*size) == rectangle


def test_the_rectangle_is_resized():
    image = gradient(40, 60)
    crop = RandomResizedCrop((10, 15))
    crop.draw = lambda height, width: (20, 30, 20, 30)
    out = crop(dict(img=image, other=1))
    assert out['other'] == 1 and out['img'].shape == (10, 15, 3)
    # The average of rows 22 and 23 is 22.5, which is rounded up.
    np.testing.assert_array_equal(out['img'][1:-1, 5, 0], np.arange(23, 38, 2))
    assert out['img'][..., 1].min() >= 30 and out['img'][..., 0].min() >= 20


def test_flipping():
    image = gradient(3, 4)
    flipped = HorizontalFlip(1.0)(dict(img=image))['img']
    np.testing.assert_array_equal(flipped[0, :, 1], [3, 2, 1, 0])
    assert HorizontalFlip(0.0)(dict(img=image))['img'] is image
    np.random.seed(0)
    half = [
        HorizontalFlip()(dict(img=image))['img'] is image for _ in '0' * 99
    ]
    assert 35 < sum(half) < 65


def test_packing_keeps_the_image_and_named_entries():
    flipped = gradient(3, 4)[:, ::-1]
    packed = PackImages(['mask'])(
        dict(img=flipped, mask=np.ones((2, 2), np.int64), img_path='a.png')
    )
    assert packed.keys() == {'inputs', 'mask'}
    assert packed['inputs'].dtype == torch.uint8
    assert packed['inputs'][1].tolist() == [[3, 2, 1, 0]] * 3
    assert packed['mask'].dtype == torch.int64


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(scale=(0.5, 0.1)), r'scale=\(0.5, 0.1\) must be two positive'),
        (dict(ratio=(0, 1)), r'ratio=\(0, 1\) must be two positive'),
        (dict(size=0), 'size'),
    ],
)
def test_bad_ranges(settings, message):
    with pytest.raises(ValueError, match=message):
        RandomResizedCrop(**{'size': 8, **settings})
