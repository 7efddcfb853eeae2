"""Data sets inside wrappers agree on labels, or are refused."""

from types import SimpleNamespace

import pytest
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS

from helpers.coco import dataset_config, tiny_data, write_data
from swin_dense.data.wrappers import (
    check_mixing,
    class_names_of,
    inner_datasets,
    number_labels,
    settings_by_name,
    share_labels,
)

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='mmdet.PackDetInputs'),
]


def renamed(**names):
    """Return the data with renamed categories in reverse order."""
    data = tiny_data()
    for category in data['categories']:
        category['name'] = names.get(category['name'], category['name'])
    data['categories'].reverse()
    return data


def config(root, name='train', data=None, **changes):
    write_data(root, data or tiny_data(), name)
    return dict(
        type='swin_dense.CheckedCocoDataset',
        **dataset_config(root, name, pipeline=PIPELINE, **changes),
    )


def concat(*configs, **changes):
    return DATASETS.build(
        dict(type='mmdet.ConcatDataset', datasets=[*configs], **changes)
    )


def names_of_labels(dataset):
    """Return the class name of each annotation, by its box, per data set."""
    return [
        {
            str(instance['bbox']): class_names_of(dataset)[
                instance['bbox_label']
            ]
            for info in map(inner.get_data_info, range(len(inner)))
            for instance in info['instances']
        }
        for inner in inner_datasets(dataset)
    ]


def test_inner_data_sets_of_nested_wrappers(tmp_path):
    first, second = config(tmp_path), config(tmp_path, 'more')
    balanced = dict(
        type='ClassBalancedDataset', oversample_thr=0.1, dataset=first
    )
    dataset = DATASETS.build(
        dict(
            type='RepeatDataset',
            times=2,
            dataset=dict(type='ConcatDataset', datasets=[balanced, second]),
        )
    )
    assert [inner.ann_file for inner in inner_datasets(dataset)] == [
        f'{tmp_path}/annotations/{n}.json' for n in ('train', 'more')
    ]
    assert inner_datasets(second) == [second]


def test_labels_of_all_data_sets_follow_names(tmp_path, logged):
    dataset = concat(config(tmp_path), config(tmp_path, 'more', renamed()))
    swapped = names_of_labels(dataset)
    assert swapped[0] != swapped[1]
    share_labels(dataset)
    first, second = names_of_labels(dataset)
    assert first == second
    assert class_names_of(dataset) == ('cat', 'dog')
    assert dataset.metainfo['classes'] == ('cat', 'dog')
    assert "lists its categories as ['dog', 'cat']" in logged.text
    labels = [
        dataset[i]['data_samples'].gt_instances.labels.tolist()
        for i in range(6)
    ]
    assert labels[:3] == labels[3:] == [[0, 1], [1, 0], []]


def test_data_sets_follow_the_classes_of_a_config(tmp_path):
    reordered = dict(metainfo=dict(classes=['dog', 'cat']))
    dataset = concat(config(tmp_path), config(tmp_path, 'more', **reordered))
    share_labels(dataset)
    assert dataset.metainfo['classes'] == ('dog', 'cat')
    first, second = names_of_labels(dataset)
    assert first == second


def test_wrappers_show_the_names_in_use(tmp_path):
    dataset = DATASETS.build(
        dict(
            type='RepeatDataset',
            times=2,
            dataset=dict(type='ConcatDataset', datasets=[config(tmp_path)]),
        )
    )
    number_labels(dataset, ('dog', 'cat'))
    assert dataset.metainfo['classes'] == ('dog', 'cat')
    assert dataset.dataset.metainfo['classes'] == ('dog', 'cat')


def test_other_names_are_refused(tmp_path):
    dataset = concat(
        config(tmp_path), config(tmp_path, 'more', renamed(cat='bus'))
    )
    with pytest.raises(
        ValueError,
        match=r'train.json and .*more.json name different classes: only '
        r"in the first \['cat'\], only in the second \['bus'\]",
    ):
        share_labels(dataset)


def test_different_orders_in_configs_are_refused(tmp_path):
    dataset = concat(
        *(
            config(tmp_path, name, metainfo=dict(classes=classes))
            for name, classes in (
                ('train', ['cat', 'dog']),
                ('more', ['dog', 'cat']),
            )
        )
    )
    with pytest.raises(ValueError, match='classes are in different orders'):
        share_labels(dataset)


def test_unchecked_data_sets_among_checked_ones_are_refused(tmp_path):
    checked = DATASETS.build(config(tmp_path))
    other = CocoDataset(
        ann_file=str(tmp_path / 'annotations/train.json'),
        data_prefix=dict(img=''),
        metainfo=dict(classes=('cat', 'dog')),
    )
    dataset = SimpleNamespace(datasets=[checked, other])
    with pytest.raises(
        ValueError,
        match='train.json is read by CocoDataset, '
        'whose labels are not checked',
    ):
        share_labels(dataset)


def test_unchecked_data_sets_with_a_palette_are_refused(tmp_path):
    """mmdet's ConcatDataset needs the keys of all data sets in the first."""
    plain = dict(config(tmp_path, 'more'), type='mmdet.CocoDataset')
    plain['metainfo'] = dict(classes=('cat', 'dog'))
    dataset = concat(config(tmp_path), plain)
    with pytest.raises(
        ValueError,
        match='more.json is read by CocoDataset, whose labels are not checked',
    ):
        share_labels(dataset)


@pytest.mark.parametrize(
    'change',
    [
        dict(metainfo=dict(classes=['b', 'a'])),
        dict(metainfo=dict(classes=['a', 'c'])),
        dict(reduce_zero_label=True),
    ],
)
def test_label_maps_with_another_meaning_are_refused(change):
    plain = dict(metainfo=dict(classes=['a', 'b']), reduce_zero_label=False)
    first, second = (
        SimpleNamespace(**{**plain, **values}) for values in ({}, change)
    )
    wrapper = SimpleNamespace(datasets=[first, second])
    with pytest.raises(ValueError, match='classes|reduce_zero_label=False'):
        share_labels(wrapper)
    share_labels(SimpleNamespace(datasets=[first, SimpleNamespace(**plain)]))


@pytest.mark.parametrize('name', ['Mosaic', 'MixUp'])
def test_mixing_without_masks_is_refused(tmp_path, name):
    mix = dict(type=f'mmdet.{name}', img_scale=(32, 32))
    dataset = dict(
        type='mmdet.MultiImageMixDataset',
        dataset=dict(config(tmp_path), pipeline=PIPELINE[:2]),
        pipeline=[mix, PIPELINE[2]],
    )
    with pytest.raises(
        ValueError,
        match=rf'with_mask=True\), which {name} '
        'would leave behind: use CachedMosaic',
    ):
        check_mixing(DATASETS.build(dataset))
    boxes = dict(type='mmdet.LoadAnnotations', with_bbox=True)
    dataset['dataset']['pipeline'] = [PIPELINE[0], boxes]
    dataset['dataset']['with_mask'] = False
    check_mixing(DATASETS.build(dataset))
    cached = dict(type='mmdet.CachedMosaic', img_scale=(32, 32))
    check_mixing(
        DATASETS.build(
            config(tmp_path)
            | dict(pipeline=[*PIPELINE[:2], cached, PIPELINE[2]])
        )
    )


def test_settings_inside_wrappers_of_a_config():
    first, second = dict(type='A'), dict(type='B')
    both = dict(type='ConcatDataset', datasets=[first, second])
    config = dict(
        train_dataloader=dict(dataset=dict(type='Repeat', dataset=both)),
        val_dataloader=dict(dataset=first),
        test_dataloader=None,
    )
    assert [*settings_by_name(config)] == [
        ('train 1', first),
        ('train 2', second),
        ('val', first),
    ]
