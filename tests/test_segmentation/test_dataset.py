"""Segmentation data sets are read or refused with a reason."""

import logging
import os
import re

import numpy as np
import pytest
from mmengine.logging import MMLogger
from mmseg.registry import DATASETS as HOST_DATASETS

from helpers.label_maps import CLASSES, dataset_config, label_map, write_pair
from swin_dense.segmentation.dataset import (
    CheckedADE20KDataset,
    CheckedSegDataset,
)
from swin_dense.visualization import class_colour

LOAD = [
    # Of mmcv: with its scope, mmseg only finds it where mmseg is not the
    # default scope, which some tests make it.
    dict(type='LoadImageFromFile'),
    dict(type='mmseg.LoadAnnotations'),
]


@pytest.fixture
def root(tmp_path):
    for name in 'abc':
        write_pair(tmp_path, name)
    return tmp_path


def make(root, **changes):
    return CheckedSegDataset(**dataset_config(root, **changes))


def test_good_data(root, caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO)
    dataset = HOST_DATASETS.build(
        dict(
            type='swin_dense.CheckedSegDataset',
            **dataset_config(root, pipeline=LOAD),
        )
    )
    logger.removeHandler(caplog.handler)
    assert len(dataset) == 3
    assert 'images/training: 3 images' in caplog.text
    assert '      2      2   33.33%  car' in caplog.text
    assert dataset.metainfo['palette'][1] == list(class_colour(1)[::-1])
    sample = dataset[0]
    np.testing.assert_array_equal(sample['gt_seg_map'], label_map(0, 1, 2))


def test_classes_from_a_file(root):
    names = root / 'classes.txt'
    names.write_text('background\nroad\ncar\n')
    dataset = make(root, metainfo=dict(classes=str(names)))
    assert dataset.metainfo['classes'] == CLASSES


@pytest.mark.parametrize(
    'metainfo, message',
    [
        (None, r'set metainfo=dict\(classes=\[...\]\)'),
        (dict(classes='road'), r"got 'road': write \['road'\]"),
        (dict(classes=[]), 'classes is empty'),
        (dict(classes=['a', 'b', 'a']), 'classes name a more than once'),
    ],
)
def test_bad_classes_are_refused(root, metainfo, message):
    with pytest.raises(ValueError, match=message):
        make(root, metainfo=metainfo)


def test_labels_out_of_range_are_refused(root):
    bad = write_pair(root, 'd', label_map(0, 38))
    with pytest.raises(
        ValueError,
        match=re.escape(f'value 38 in {bad} (192 pixels), num_classes=3'),
    ) as info:
        make(root)
    assert str(info.value).startswith(
        f'{root}/annotations/training: 4 label maps cannot be used for '
        'training'
    )
    assert len(make(root, check_labels=False)) == 4


def test_reduced_zero_label(root):
    with pytest.raises(ValueError, match='Set reduce_zero_label=False'):
        make(root, reduce_zero_label=True)
    dataset = make(
        root,
        reduce_zero_label=True,
        metainfo=dict(classes=CLASSES[1:]),
        pipeline=LOAD,
    )
    np.testing.assert_array_equal(
        dataset[0]['gt_seg_map'], label_map(255, 0, 1)
    )


def test_no_tree(tmp_path):
    place = tmp_path / 'ade'
    with pytest.raises(FileNotFoundError) as info:
        make(place)
    assert str(info.value).splitlines() == [
        f'no data set: {place}/images/training does not exist (data_root '
        f'{place} does not exist; working directory '
        f'{__import__("os").getcwd()}).',
        'Expected:',
        f'  {place}/images/training/*.jpg',
        f'  {place}/annotations/training/*.png',
        'Put or link the data set there, or set data_root. Without any data, '
        'start with generated images:',
        '  swin-dense train upernet_swin_nano_shapes',
    ]


def test_no_list(root):
    with pytest.raises(FileNotFoundError, match='train.txt does not exist'):
        make(root, ann_file='train.txt')


def test_missing_label_maps(root):
    for name in 'ab':
        (root / f'annotations/training/{name}.png').unlink()
    with pytest.raises(
        FileNotFoundError,
        match='2 of 3 images have no label map, missing are .*a.png, '
        '.*b.png. An image a/b.jpg needs',
    ):
        make(root)


def test_label_maps_without_an_image(root):
    (root / 'images/training/c.jpg').unlink()
    with pytest.raises(
        FileNotFoundError,
        match='1 label maps have no image in .*images/training: .*c.png',
    ):
        make(root)
    names = root / 'train.txt'
    names.write_text('a\nb\n')
    assert len(make(root, ann_file='train.txt')) == 2
    names.write_text('a\nc\nd\n')
    with pytest.raises(
        FileNotFoundError,
        match='2 images of .*train.txt do not exist: .*c.jpg, .*d.jpg; '
        '1 of 3 images have no label map, missing are .*d.png',
    ):
        make(root, ann_file='train.txt')


def test_links_in_a_loop(root):
    (root / 'images' / 'training' / 'all').symlink_to(root)
    with pytest.raises(
        ValueError, match='training/all is a link to a folder '
    ):
        make(root)


@pytest.mark.parametrize('place', ['images', 'annotations'])
def test_special_files_are_refused(root, place):
    """Opening a named pipe would block the start for ever."""
    folder = root / place / 'training'
    path, *_ = sorted(folder.iterdir())
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match='is a named pipe, not a file'):
        make(root)


def test_other_suffixes(root):
    for path in (root / 'images/training').iterdir():
        path.rename(path.with_suffix('.jpeg'))
    with pytest.raises(
        FileNotFoundError,
        match="end in '.jpg'; files there: 3 .jpeg. Set img_suffix",
    ):
        make(root)
    assert len(make(root, img_suffix='.jpeg')) == 3


def test_an_empty_folder(tmp_path):
    for name in ('images', 'annotations'):
        (tmp_path / name / 'training').mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match='files there: none'):
        make(tmp_path)


def test_nothing_to_train_on(root):
    folder = dict(img_path='images/training')
    with pytest.raises(ValueError, match='needs label maps: set data_prefix'):
        make(root, data_prefix=folder)
    assert len(make(root, data_prefix=folder, test_mode=True)) == 3


def crop(size):
    return dict(type='mmseg.RandomCrop', crop_size=(size, size))


def test_crops_beyond_every_image(root):
    with pytest.raises(
        ValueError,
        match=r'crop_size=\(32, 32\) \(height, width\) is larger than '
        'every image: images are at most 16 high and 24 wide',
    ):
        make(root, pipeline=LOAD + [crop(32)])
    make(root, pipeline=LOAD + [crop(16)])
    resize = dict(type='mmseg.Resize', scale=(96, 64))
    make(root, pipeline=LOAD + [resize, crop(32)])
    # A crop may be larger than some images: they are padded.
    write_pair(root, 'd', np.zeros((40, 40), np.uint8), size=(40, 40))
    make(root, pipeline=LOAD + [crop(32)])


def ade(root, **changes):
    config = dataset_config(root, **changes)
    config.pop('metainfo')
    if 'classes' in changes:
        config['metainfo'] = dict(classes=config.pop('classes'))
    return CheckedADE20KDataset(**config)


def test_ade20k(tmp_path):
    write_pair(tmp_path, 'a', label_map(0, 1, 150))
    dataset = ade(tmp_path, pipeline=LOAD)
    assert dataset.metainfo['classes'][:2] == ('wall', 'building')
    assert len(dataset.metainfo['palette']) == 150
    np.testing.assert_array_equal(
        dataset[0]['gt_seg_map'], label_map(255, 0, 149)
    )
    write_pair(tmp_path, 'b', label_map(0, 151))
    with pytest.raises(
        ValueError,
        match=r'value 151, which becomes label 150, in .*b.png .*'
        r'num_classes=150 \(valid labels 0..149',
    ):
        ade(tmp_path)


def test_some_classes_of_ade20k(tmp_path):
    write_pair(tmp_path, 'a', label_map(0, 1, 4))
    dataset = ade(tmp_path, classes=['floor', 'wall'], pipeline=LOAD)
    np.testing.assert_array_equal(
        dataset[0]['gt_seg_map'], label_map(255, 1, 0)
    )
    assert dataset.metainfo['palette'] == [[80, 50, 50], [120, 120, 120]]


def test_unknown_class_of_ade20k(tmp_path):
    write_pair(tmp_path, 'a')
    with pytest.raises(
        ValueError,
        match="class 'biulding' is not in CheckedADE20KDataset "
        r"\(did you mean 'building'\?\)",
    ):
        ade(tmp_path, classes=['wall', 'biulding'])
