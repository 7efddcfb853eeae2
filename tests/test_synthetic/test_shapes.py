"""Generated data sets have exact masks and reproducible files."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_api
from pycocotools.coco import COCO

from helpers.folders import files_under
from swin_dense.synthetic.drawing import draw_image
from swin_dense.synthetic.shapes import (
    encode_mask,
    generate_ade,
    generate_coco,
)

SMALL = dict(image_size=(64, 96), radius=(6, 20))


def decode(segmentation, height, width):
    rle = (
        mask_api.frPyObjects(segmentation, height, width)
        if isinstance(segmentation, list)
        else [segmentation]
    )
    return mask_api.decode(mask_api.merge(rle)).astype(bool)


@pytest.mark.parametrize('rle', [False, True])
def test_segmentation_decodes_to_the_mask(rle):
    polygons = 0
    for seed in range(30):
        _, masks, _ = draw_image(np.random.default_rng(seed))
        for mask in masks:
            segmentation = encode_mask(mask, rle)
            polygons += isinstance(segmentation, list)
            np.testing.assert_array_equal(
                decode(segmentation, *mask.shape), mask
            )
    assert polygons == 0 if rle else polygons > 60


def test_masks_in_parts_and_with_holes_are_rle():
    parts = np.zeros((20, 20), bool)
    parts[2:5, 2:5] = parts[10:15, 10:15] = True
    ring = np.zeros((20, 20), bool)
    ring[2:12, 2:12] = True
    ring[5:8, 5:8] = False
    for mask in (parts, ring):
        segmentation = encode_mask(mask)
        assert segmentation['size'] == [20, 20]
        np.testing.assert_array_equal(decode(segmentation, 20, 20), mask)
    assert encode_mask(parts[:8, :8]) == [[2, 2, 2, 5, 5, 5, 5, 2]]


def test_files(tmp_path):
    files = generate_coco(tmp_path, {'train': 6, 'val': 3}, **SMALL)
    assert files['val'] == tmp_path / 'annotations' / 'instances_val.json'
    coco = COCO(files['train'])
    assert [c['name'] for c in coco.dataset['categories']] == [
        'circle',
        'square',
        'triangle',
    ]
    assert len(coco.imgs) == 6 and len(coco.anns) > 8
    for info in coco.imgs.values():
        image = cv2.imread(str(tmp_path / 'train' / info['file_name']))
        assert image.shape == (info['height'], info['width'], 3) == (64, 96, 3)
    for ann in coco.anns.values():
        mask = coco.annToMask(ann)
        assert mask.sum() == ann['area']
        rows, columns = np.nonzero(mask)
        assert ann['bbox'] == [
            columns.min(),
            rows.min(),
            np.ptp(columns) + 1,
            np.ptp(rows) + 1,
        ]


def test_label_maps_show_the_scenes_of_the_masks(tmp_path):
    """Both layouts draw the same scenes for a split of the same name."""
    generate_ade(tmp_path / 'ade', {'train': 6}, **SMALL)
    files = generate_coco(tmp_path / 'coco', {'train': 6}, **SMALL)
    coco = COCO(files['train'])
    values = set()
    for info in coco.imgs.values():
        name = info['file_name']
        assert (tmp_path / 'ade/images/train' / name).read_bytes() == (
            tmp_path / 'coco/train' / name
        ).read_bytes()
        expected = np.zeros((64, 96), np.uint8)
        for ann in coco.imgToAnns[info['id']]:
            expected[coco.annToMask(ann) > 0] = ann['category_id']
        label_map = Image.open(
            tmp_path / 'ade/annotations/train' / name.replace('jpg', 'png')
        )
        assert label_map.mode == 'L'
        np.testing.assert_array_equal(label_map, expected)
        values |= {*np.unique(label_map)}
    assert values == {0, 1, 2, 3}


def test_only_the_absent_folder_is_drawn(tmp_path):
    generate_ade(tmp_path, {'train': 2}, **SMALL)
    before = files_under(tmp_path)
    image = tmp_path / 'images/train/000000000001.jpg'
    image.write_bytes(b'kept')
    # As if the process was killed between the two steps.
    shutil.rmtree(tmp_path / 'annotations')
    generate_ade(tmp_path, {'train': 2}, **SMALL)
    after = files_under(tmp_path)
    assert after.pop('images/train/000000000001.jpg') == b'kept'
    del before['images/train/000000000001.jpg']
    assert after == before
    with pytest.raises(ValueError, match='train was generated with seed=0'):
        generate_ade(tmp_path, {'train': 2}, seed=1, **SMALL)
    (tmp_path / 'annotations/val').mkdir()
    with pytest.raises(ValueError, match='annotations/val exists and was not'):
        generate_ade(tmp_path, {'val': 2}, **SMALL)


def test_the_manifest_describes_images(tmp_path):
    files = generate_coco(tmp_path, {'train': 1}, **SMALL)
    info = json.loads(files['train'].read_text())['info']
    assert info['description'] == 'Shapes drawn by swin_dense'


def test_an_image_depends_on_seed_split_and_index_only(tmp_path):
    for name, seed, count in (('a', 0, 4), ('b', 0, 2), ('c', 1, 4)):
        generate_coco(
            tmp_path / name, {'train': count, 'val': count}, seed=seed, **SMALL
        )
    a, b, c = (files_under(tmp_path / name) for name in 'abc')
    assert all(a[name] == b[name] for name in b if name.endswith('.jpg'))
    image = os.path.join('train', '000000000001.jpg')
    assert a[image] != c[image]
    assert a[image] != a[image.replace('train', 'val')]


def test_an_interrupted_copy_leaves_the_old_file(tmp_path, monkeypatch):
    files = generate_coco(tmp_path, dict(train=1), **SMALL)
    files['train'].write_text('old')

    def interrupt(source, target):
        target.write_text('ne')
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, 'copyfile', interrupt)
    with pytest.raises(KeyboardInterrupt):
        generate_coco(tmp_path, dict(train=1), **SMALL)
    assert files['train'].read_text() == 'old'
    assert list(files['train'].parent.iterdir()) == [files['train']]
