"""Labelled and unlabelled images in one data set."""

import random

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from helpers.coco import tiny_data, write_data
from swin_dense.data.wrappers import class_names_of, share_labels
from swin_dense.detection.soft_teacher.colour_change import (
    CHANGES,
    ColourChange,
)
from swin_dense.registry import DATASETS, TRANSFORMS


def part(root, name, **settings):
    """Return the config of a data set of three images."""
    ann_file, folder = write_data(root, tiny_data(), name)
    return dict(
        type='swin_dense.CheckedCocoDataset',
        ann_file=str(ann_file),
        data_prefix=dict(img=f'{folder}/'),
        **settings,
    )


def build(labelled, unlabelled):
    return DATASETS.build(
        dict(
            type='swin_dense.SemiSupervisedDataset',
            labelled=labelled,
            unlabelled=unlabelled,
        )
    )


def test_labelled_images_come_first(tmp_path):
    names = dict(metainfo=dict(classes=('dog', 'cat')))
    dataset = build(
        part(tmp_path, 'labelled', **names), part(tmp_path, 'unlabelled')
    )
    assert len(dataset) == 6
    assert dataset.cumulative_sizes == [3, 6]
    folders = [
        dataset.get_data_info(i)['img_path'].split('/')[-2] for i in range(6)
    ]
    assert folders == ['labelled'] * 3 + ['unlabelled'] * 3
    # The classes are those of the labelled images.
    assert dataset.metainfo['classes'] == ('dog', 'cat')


def test_the_labels_of_unlabelled_images_need_not_fit(tmp_path):
    """As in the recipes, which read the unlabelled part with mmdet's class."""
    write_data(tmp_path, tiny_data(), 'unlabelled')
    pixels = dict(data_root=f'{tmp_path}/unlabelled')
    mmdet = part(tmp_path, 'unlabelled')
    for other in (
        dict(type='swin_dense.ImageFolderDataset', **pixels),
        dict(mmdet, type='mmdet.CocoDataset', pipeline=[]),
    ):
        dataset = build(part(tmp_path, 'labelled'), other)
        share_labels(dataset)
        assert {*dataset.metainfo['classes']} == {'cat', 'dog'}
        assert class_names_of(dataset) == dataset.metainfo['classes']


def test_parts_of_one_list(tmp_path):
    both = part(tmp_path, 'data')
    dataset = build(dict(both, indices=1), dict(both, indices=[1, 2]))
    assert len(dataset) == 3


def test_images_in_both(tmp_path):
    both = part(tmp_path, 'data')
    message = (
        r'2 images of 2 labelled ones are among the unlabelled ones, too: '
        r'.*5\.png, .*7\.png\. Take them out'
    )
    with pytest.raises(ValueError, match=message):
        build(dict(both, indices=2), both)


PIXELS = np.random.default_rng(0).integers(0, 255, (9, 8, 3), np.uint8)


@pytest.mark.parametrize('name', CHANGES)
def test_a_change_is_that_of_pillow(name, monkeypatch):
    monkeypatch.setattr(random, 'randint', lambda low, high: 7)
    transform = TRANSFORMS.build(
        dict(type='swin_dense.ColourChange', changes=[name])
    )
    image = Image.fromarray(PIXELS[..., ::-1].copy())
    expected = {
        'identity': image,
        'auto contrast': ImageOps.autocontrast(image),
        'equalize': ImageOps.equalize(image),
        'solarize': ImageOps.solarize(image, 179),
        'posterize': ImageOps.posterize(image, 2),
        'colour': ImageEnhance.Color(image).enhance(1.36),
        'contrast': ImageEnhance.Contrast(image).enhance(1.36),
        'brightness': ImageEnhance.Brightness(image).enhance(1.36),
        'sharpness': ImageEnhance.Sharpness(image).enhance(1.36),
    }[name]
    result = transform(dict(img=PIXELS.copy(), img_path='x'))
    assert result['img_path'] == 'x'
    np.testing.assert_array_equal(
        result['img'], np.asarray(expected)[..., ::-1]
    )


def test_all_changes_occur():
    random.seed(0)
    transform = ColourChange()
    results = [transform(dict(img=PIXELS))['img'] for _ in range(40)]
    assert len({result.tobytes() for result in results}) > 15


def test_an_unknown_change():
    with pytest.raises(ValueError, match=r"no change \['blur'\]; choose from"):
        ColourChange(['blur'])
