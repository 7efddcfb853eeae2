"""The data set of shapes generates its images."""

import pytest
from mmdet.registry import DATASETS as HOST_DATASETS

CONFIG = dict(
    type='swin_dense.ShapesDataset',
    ann_file='annotations/instances_train.json',
    data_prefix=dict(img='train/'),
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
        dict(type='mmdet.PackDetInputs'),
    ],
    generate=dict(num_images=5, image_size=64, radius=(6, 20), seed=3),
)


def test_draws_and_reuses(tmp_path):
    config = dict(CONFIG, data_root=str(tmp_path / 'shapes'))
    first = HOST_DATASETS.build(config)
    assert len(first) == 5
    assert first.metainfo['classes'] == ('circle', 'square', 'triangle')
    times = [p.stat().st_mtime_ns for p in (tmp_path / 'shapes').rglob('*')]
    again = HOST_DATASETS.build(dict(config, generate=None))
    assert (
        again[1]['data_samples'].gt_instances.labels.tolist()
        == first[1]['data_samples'].gt_instances.labels.tolist()
    )
    HOST_DATASETS.build(config)
    assert times == [
        p.stat().st_mtime_ns for p in (tmp_path / 'shapes').rglob('*')
    ]


def test_the_two_paths_must_name_one_split(tmp_path):
    config = dict(
        CONFIG, data_root=str(tmp_path), data_prefix=dict(img='val/')
    )
    with pytest.raises(
        ValueError,
        match="does not belong to the split 'val'.*"
        'annotations/instances_val.json',
    ):
        HOST_DATASETS.build(config)


def test_absent_data_without_generate(tmp_path):
    with pytest.raises(FileNotFoundError, match='no data set'):
        HOST_DATASETS.build(
            dict(CONFIG, data_root=str(tmp_path), generate=None)
        )
