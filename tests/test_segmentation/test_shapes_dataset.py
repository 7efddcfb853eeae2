"""The data set of shapes generates its images."""

import numpy as np
import pytest
from mmengine.registry import DATASETS as ROOT_DATASETS

from helpers.label_maps import write_pair

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


def shapes(root, **changes):
    return dict(
        type='swin_dense.ShapesSegDataset',
        data_root=str(root / 'shapes'),
        data_prefix=dict(
            img_path='images/training', seg_map_path='annotations/training'
        ),
        pipeline=LOAD,
        generate=dict(num_images=5, image_size=64, radius=(6, 20), seed=3),
        **changes,
    )


def test_shapes_are_generated(tmp_path):
    dataset = ROOT_DATASETS.build(shapes(tmp_path))
    assert len(dataset) == 5
    assert dataset.metainfo['classes'] == (
        'background',
        'circle',
        'square',
        'triangle',
    )
    again = ROOT_DATASETS.build(dict(shapes(tmp_path), generate=None))
    np.testing.assert_array_equal(
        again[1]['gt_seg_map'], dataset[1]['gt_seg_map']
    )


@pytest.mark.parametrize(
    'classes, message',
    [
        (
            ['background', 'circle', 'squaer', 'triangle'],
            r"class 'squaer' is not in .* \(did you mean 'square'\?\)",
        ),
        (
            ['background', 'square', 'circle', 'triangle'],
            'was drawn with .*leave classes out of metainfo',
        ),
        (['circle', 'square', 'triangle'], 'was drawn with'),
    ],
)
def test_shapes_of_other_names(tmp_path, classes, message):
    with pytest.raises(ValueError, match=message):
        ROOT_DATASETS.build(shapes(tmp_path, metainfo=dict(classes=classes)))


def test_absent_data_without_generate(tmp_path):
    with pytest.raises(FileNotFoundError, match='no data set'):
        ROOT_DATASETS.build(dict(shapes(tmp_path), generate=None))
