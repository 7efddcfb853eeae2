"""Crops are evenly spread, and all frames of a clip augmented alike."""

import numpy as np
import pytest
from mmengine.registry import TRANSFORMS, init_default_scope

from swin_dense.video.augmentation import (
    OPERATIONS,
    ClipRandAugment,
    EvenCrops,
)


def clip(height, width, frames=2):
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (frames, height, width, 3), np.uint8))


@pytest.mark.parametrize('size', [(8, 19), (20, 8), (8, 8)])
def test_three_crops_are_those_of_mmaction2(size):
    pytest.importorskip('mmaction', reason='mmaction2 is not installed')
    import mmaction.datasets  # noqa: F401

    init_default_scope('mmaction')
    imgs = clip(*size)
    host_crops = TRANSFORMS.build(dict(type='ThreeCrop', crop_size=8))(
        dict(imgs=imgs)
    )['imgs']
    crops = TRANSFORMS.build(
        dict(type='swin_dense.EvenCrops', crop_size=8, count=3)
    )(dict(imgs=imgs))
    assert crops['img_shape'] == (8, 8)
    host_crops = [
        host_crops[0:2],
        host_crops[4:6],
        host_crops[2:4],
    ]  # both ends, then the middle
    for place, (actual, expected) in enumerate(
        zip(np.array(crops['imgs']).reshape(3, 2, 8, 8, 3), host_crops)
    ):
        if place < 2 or max(size) % 2 == 0:
            assert np.array_equal(actual, expected)
    assert np.array_equal(crops['imgs'][4], imgs[0][-8:, -8:])


def test_five_crops():
    imgs = clip(4, 12, 1)
    crops = EvenCrops(4, 5).transform(dict(imgs=imgs))['imgs']
    assert len(crops) == 5
    for crop, left in zip(crops, (0, 2, 4, 6, 8)):
        assert np.array_equal(crop, imgs[0][:, left : left + 4])
    (middle,) = EvenCrops(4, 1).transform(dict(imgs=imgs))['imgs']
    assert np.array_equal(middle, imgs[0][:, 4:8])


def test_bad_crops():
    with pytest.raises(ValueError, match='shorter side is 6, got 4 x 12'):
        EvenCrops(6).transform(dict(imgs=clip(4, 12)))
    with pytest.raises(ValueError, match='must be positive'):
        EvenCrops(6, 0)


@pytest.mark.parametrize('name', OPERATIONS)
def test_operations(name, monkeypatch):
    augment = ClipRandAugment(1, 15)
    frame = clip(16, 24, 1)[0]
    results = []
    for sign in (-1, 1):
        monkeypatch.setattr(augment, 'draw', lambda: [(name, sign)])  # noqa
        actual, expected = augment.transform(dict(imgs=[frame, frame]))['imgs']
        assert actual.dtype == np.uint8 and actual.shape == frame.shape
        assert np.array_equal(
            actual, expected
        )  # all frames have the same augmentation
        assert actual.flags.writeable
        results.append(actual)
    changed = not np.array_equal(results[0], frame)
    assert changed == (name != 'identity')
    directed = name in (
        'rotate',
        'color',
        'contrast',
        'brightness',
        'sharpness',
    ) or name[:5] in ('shear', 'shift')
    assert np.array_equal(*results) != directed


def test_shifts_have_the_requested_length():
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, 20] = 255
    augment = ClipRandAugment(1, 10)
    augment.draw = lambda: [('shift_x', 1)]
    moved = augment.transform(dict(imgs=[image]))['imgs'][0]
    # A shift by 0.45 / 3 of the width, 6 pixels, leaves grey behind.
    assert (moved[:, 14] == 255).all() and (moved[:, 34:] == 128).all()
    augment.draw = lambda: [('invert', 1), ('invert', -1)]
    assert np.array_equal(
        augment.transform(dict(imgs=[image]))['imgs'][0], image
    )


def test_draws_vary_and_repeat_by_seed():
    augment = ClipRandAugment(4, 7)
    np.random.seed(3)
    first = [augment.draw() for _ in range(20)]
    np.random.seed(3)
    assert first == [augment.draw() for _ in range(20)]
    drawn = {operation for draw in first for operation in draw}
    assert len(drawn) > 12 and {sign for _, sign in drawn} == {-1, 1}
    with pytest.raises(ValueError, match='lie in 0..30'):
        ClipRandAugment(2, 31)
