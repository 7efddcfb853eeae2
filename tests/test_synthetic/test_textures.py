"""Backgrounds have distinct textures, and label maps show them."""

import cv2
import numpy as np
import pytest

from swin_dense.detection.shapes_dataset import ShapesDataset
from swin_dense.synthetic.shapes import generate_coco
from swin_dense.synthetic.textures import TEXTURES, draw_ground

NAMES = list(TEXTURES)
SMALL = dict(image_size=64, radius=(8, 20), textures=NAMES)


def test_regions_have_textures():
    counts = np.zeros(len(NAMES))
    for seed in range(30):
        picture, ground = draw_ground(
            np.random.default_rng(seed), (48, 64), NAMES
        )
        assert picture.shape == (48, 64, 3) and ground.shape == (48, 64)
        assert (picture.dtype, ground.dtype) == (np.float32, np.uint8)
        assert -150 < picture.min() and picture.max() < 400
        present = np.unique(ground)
        assert 1 <= len(present) <= 3
        counts[present] += 1
    assert counts.min() >= 5  # each texture in 30 scenes


@pytest.mark.parametrize('name', NAMES)
def test_textures_differ_in_their_structure(name):
    """The variance between neighbours separates fine and smooth textures."""
    shares = []
    for seed in range(5):
        picture = TEXTURES[name](np.random.default_rng(seed), (64, 64))
        step = np.diff(picture, axis=0).var() + np.diff(picture, axis=1).var()
        shares.append(step / (4 * picture.var(axis=(0, 1)).mean()))
    low, high = dict(
        clouds=(0, 0.05), sand=(0.1, 1), waves=(0.02, 0.4), bricks=(0.05, 0.5)
    )[name]
    assert low <= np.mean(shares) <= high, shares


def test_maps_of_a_coco_set(tmp_path):
    files = generate_coco(tmp_path, {'train2017': 8}, **SMALL)
    dataset = ShapesDataset(
        data_root=str(tmp_path),
        ann_file=str(files['train2017'].relative_to(tmp_path)),
        data_prefix=dict(img='train2017/', seg='stuffthingmaps/train2017/'),
        num_stuff_classes=3 + len(NAMES),
        generate=dict(num_images=8, **SMALL),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(
                type='mmdet.LoadAnnotations',
                with_bbox=True,
                with_mask=True,
                with_seg=True,
            ),
        ],
    )
    seen = set()
    for results in dataset:
        labels = results['gt_seg_map']
        assert labels.shape == (64, 64)
        covered = np.zeros((64, 64), bool)
        for mask, label in zip(
            results['gt_masks'].masks.astype(bool), results['gt_bboxes_labels']
        ):
            assert (labels[mask] == label).all()
            covered |= mask
        assert (labels[~covered] >= 3).all()
        seen |= set(np.unique(labels))
    assert seen <= set(range(7)) and len(seen) >= 6


def test_data_without_textures_is_reused(tmp_path):
    """Data generated before textures existed is reused."""
    generate_coco(tmp_path, {'val2017': 2}, image_size=64)
    assert not (tmp_path / 'stuffthingmaps').exists()
    text = (tmp_path / 'val2017' / 'instances.json').read_text()
    assert 'textures' not in text
    with pytest.raises(ValueError, match='textures'):
        generate_coco(
            tmp_path, {'val2017': 2}, image_size=64, textures=['sand']
        )


def test_maps_are_drawn_once_and_reused(tmp_path):
    generate_coco(tmp_path, {'train2017': 2}, **SMALL)
    path = tmp_path / 'stuffthingmaps' / 'train2017' / '000000000001.png'
    first, time = cv2.imread(str(path), -1), path.stat().st_mtime_ns
    generate_coco(tmp_path, {'train2017': 2}, **SMALL)
    assert path.stat().st_mtime_ns == time
    generate_coco(tmp_path / 'again', {'train2017': 2}, **SMALL)
    again = tmp_path / 'again' / path.relative_to(tmp_path)
    np.testing.assert_array_equal(cv2.imread(str(again), -1), first)


def test_unknown_textures(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"unknown textures \['mud'\]: choose "
        r"from \['clouds', 'sand'",
    ):
        generate_coco(tmp_path, {'val2017': 1}, textures=['mud', 'sand'])
