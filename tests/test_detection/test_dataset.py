"""COCO data sets have labels by name, and are refused if damaged."""

import json

import pytest
from mmdet.registry import DATASETS as HOST_DATASETS

from helpers.coco import dataset_config, tiny_data, write_data
from swin_dense.detection import dataset as coco
from swin_dense.detection.dataset import CheckedCocoDataset

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='mmdet.PackDetInputs'),
]


def build(root, name='train', pipeline=PIPELINE, **changes):
    return CheckedCocoDataset(
        **dataset_config(root, name, pipeline=pipeline, **changes)
    )


def labels_by_image(dataset):
    return {
        info['img_id']: [i['bbox_label'] for i in info['instances']]
        for info in map(dataset.get_data_info, range(len(dataset)))
    }


def test_built_by_the_host(tmp_path):
    write_data(tmp_path, tiny_data())
    dataset = HOST_DATASETS.build(
        dict(
            type='swin_dense.CheckedCocoDataset',
            **dataset_config(tmp_path, pipeline=PIPELINE),
        )
    )
    assert isinstance(dataset, CheckedCocoDataset)
    sample = dataset[0]['data_samples']
    assert dataset[0]['inputs'].shape == (3, 30, 40)
    assert sample.gt_instances.labels.tolist() == [0, 1]
    assert sample.gt_instances.masks.masks.sum((1, 2)).tolist() == [80, 270]


def test_labels_follow_names_in_the_users_order(tmp_path):
    write_data(tmp_path, tiny_data())
    expected = {7: [0, 1], 5: [1, 0], 9: []}
    by_default = build(tmp_path)
    assert by_default.metainfo['classes'] == ('cat', 'dog')
    assert labels_by_image(by_default) == expected
    reverse = build(tmp_path, metainfo=dict(classes=['dog', 'cat']))
    assert reverse.metainfo['classes'] == ('dog', 'cat')
    assert labels_by_image(reverse) == {7: [1, 0], 5: [0, 1], 9: []}


def test_subset(tmp_path):
    write_data(tmp_path, tiny_data())
    only = dict(classes=['dog'])
    with pytest.raises(ValueError, match=r"'cat' \(2\)"):
        build(tmp_path, metainfo=only)
    dataset = build(tmp_path, metainfo=only, allow_subset=True)
    assert labels_by_image(dataset) == {7: [0], 5: [0], 9: []}


def test_the_table_is_logged(tmp_path, logged):
    write_data(tmp_path, tiny_data())
    build(tmp_path)
    assert '3 images (1 without objects), 4 objects' in logged.text
    assert '    0           20        2  cat' in logged.text
    assert '    1           10        2  dog' in logged.text


def test_classes_as_text(tmp_path):
    write_data(tmp_path, tiny_data())
    with pytest.raises(ValueError, match=r"got 'cat': write \['cat'\]"):
        build(tmp_path, metainfo=dict(classes='cat'))


def test_absent(tmp_path):
    with pytest.raises(FileNotFoundError) as info:
        build(tmp_path / 'coco')
    message = str(info.value)
    assert f'data_root {tmp_path}/coco does not exist' in message
    assert f'  {tmp_path}/coco/annotations/train.json\n' in message
    assert f'  {tmp_path}/coco/train/*.jpg\n' in message
    assert 'swin-dense train cascade_swin_nano_shapes' in message


def test_missing_image(tmp_path):
    _, folder = write_data(tmp_path, tiny_data())
    (folder / '5.png').unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r'1 of 3 images .* do not exist: .*train/5.png\. Is '
        r"data_prefix img='.*train/' their folder",
    ):
        build(tmp_path)


def spoil(folder):
    content = (folder / '5.png').read_bytes()
    (folder / '5.png').write_bytes(content[: len(content) // 2])


def test_truncated_image(tmp_path):
    _, folder = write_data(tmp_path, tiny_data())
    spoil(folder)
    with pytest.raises(ValueError, match=r'5.png \(image id 5\) is truncated'):
        build(tmp_path)


def test_large_sets_are_checked_when_loaded(tmp_path, monkeypatch):
    _, folder = write_data(tmp_path, tiny_data())
    spoil(folder)
    monkeypatch.setattr(coco, 'CHECK_AT_START', 2)
    dataset = build(tmp_path)
    assert dataset[0]['data_samples'].img_id == 7
    with pytest.raises(ValueError, match=r'5.png \(image id 5\) is truncated'):
        dataset[1]


def test_image_of_another_size(tmp_path):
    data = tiny_data()
    data['images'][1].update(width=80, height=60)
    write_data(tmp_path, data)
    with pytest.raises(
        ValueError, match=r'5.png \(image id 5\) is 40x30 pixels .* says 80x60'
    ):
        build(tmp_path)


def test_masks_are_needed_where_the_pipeline_loads_them(tmp_path):
    data = tiny_data()
    for ann in data['annotations']:
        del ann['segmentation']
    write_data(tmp_path, data)
    with pytest.raises(ValueError, match='masks are needed'):
        build(tmp_path)
    boxes = [PIPELINE[0], dict(type='mmdet.LoadAnnotations'), PIPELINE[2]]
    assert len(build(tmp_path, pipeline=boxes)) == 3
    with pytest.raises(ValueError, match='masks are needed'):
        build(tmp_path, pipeline=boxes, with_mask=True)


def test_images_without_annotations_are_kept(tmp_path):
    write_data(tmp_path, tiny_data())
    dataset = build(tmp_path)
    sample = dataset[2]['data_samples'].gt_instances
    assert len(dataset) == 3
    assert sample.bboxes.shape == (0, 4) and len(sample.masks) == 0
    assert len(build(tmp_path, filter_cfg=dict(filter_empty_gt=True))) == 2


def test_everything_filtered_away(tmp_path):
    write_data(tmp_path, tiny_data())
    rules = dict(filter_empty_gt=True, min_size=32)
    with pytest.raises(ValueError) as info:
        build(tmp_path, filter_cfg=rules)
    message = str(info.value)
    assert 'nothing is left to train on: 0 of 3 images' in message
    assert (
        'image: smaller than min_size=32                      2  ids 7, 5'
        in message
    )
    assert 'no usable annotation (filter_empty_gt)        1  ids 9' in message


def flagged(ids, **values):
    data = tiny_data()
    for ann in data['annotations']:
        if ann['id'] in ids:
            ann.update(values)
    return data


EVERY = range(100, 104)


@pytest.mark.parametrize(
    'flag, message',
    [
        (
            dict(iscrowd=1),
            r'4 annotations are crowds \(iscrowd=1\).*set iscrowd=0 '
            'for single objects',
        ),
        (
            dict(ignore=1),
            '4 annotations have ignore=1 and are left out: set ignore=0',
        ),
    ],
)
def test_nothing_but_crowds_or_ignored(tmp_path, flag, message):
    write_data(tmp_path, flagged(EVERY, **flag))
    with pytest.raises(
        ValueError, match='nothing is left to train on: .* 0 obj.*' + message
    ):
        build(tmp_path)
    assert len(build(tmp_path, test_mode=True)) == 3


def test_crowds_are_counted_apart(tmp_path, logged):
    write_data(tmp_path, flagged([100], iscrowd=1))
    build(tmp_path)
    assert (
        '3 images (1 without objects), 3 objects, 1 crowds (iscrowd=1)'
        in logged.text
    )
    assert '    0           20        1  cat' in logged.text
    assert 'many of its 4 annotations are not trained on' in logged.text


def test_lists_of_annotation_files_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r'ann_file is a list .*ConcatDataset'
    ):
        CheckedCocoDataset(ann_file=['a.json', 'b.json'])


def test_no_annotations_at_all(tmp_path):
    data = tiny_data()
    data['annotations'] = []
    write_data(tmp_path, data)
    with pytest.raises(ValueError, match='3 of 3 images, 0 objects'):
        build(tmp_path)
    del data['annotations']
    write_data(tmp_path, data)
    assert len(build(tmp_path, test_mode=True)) == 3


def test_test_sets_name_their_file(tmp_path):
    path, _ = write_data(tmp_path, tiny_data())
    assert build(tmp_path, test_mode=True).metainfo['ann_file'] == str(path)
    assert 'ann_file' not in build(tmp_path).metainfo


def with_other_ids():
    """Return the data with other category ids in another order."""
    data = tiny_data()
    data['categories'] = [dict(id=1, name='dog'), dict(id=2, name='cat')]
    for ann in data['annotations']:
        ann['category_id'] = {10: 1, 20: 2}[ann['category_id']]
    return data


def test_splits_with_other_ids_mean_the_same_labels(tmp_path, logged):
    write_data(tmp_path, tiny_data())
    write_data(tmp_path, with_other_ids(), 'val')
    train, val = build(tmp_path), build(tmp_path, 'val', test_mode=True)
    assert labels_by_image(val) != labels_by_image(train)
    train.check_split(val)
    assert val.metainfo['classes'] == ('cat', 'dog')
    assert labels_by_image(val) == labels_by_image(train)
    assert 'category ids or their order differ' in logged.text
    assert '    0        20           2  cat' in logged.text


def test_equal_splits_are_not_logged(tmp_path, logged):
    write_data(tmp_path, tiny_data())
    train = build(tmp_path)
    logged.clear()
    train.check_split(train)
    assert not logged.text


def test_orders_of_classes_in_configs_must_agree(tmp_path):
    write_data(tmp_path, tiny_data())
    val = build(tmp_path, metainfo=dict(classes=['dog', 'cat']))
    with pytest.raises(ValueError, match='classes are in different orders'):
        build(tmp_path).check_split(val)


def test_splits_with_other_names(tmp_path):
    write_data(tmp_path, tiny_data())
    data = tiny_data()
    data['categories'][1]['name'] = 'wolf'
    write_data(tmp_path, data, 'val')
    with pytest.raises(
        ValueError,
        match=r"only in training \['dog'\], only in validation "
        r"\['wolf'\]",
    ):
        build(tmp_path).check_split(build(tmp_path, 'val'))


def test_real_photographs(real_data):
    folder = real_data / 'coco_people'
    dataset = CheckedCocoDataset(
        ann_file=str(folder / 'instances.json'),
        data_prefix=dict(img=str(folder / 'images')),
        pipeline=PIPELINE,
    )
    counts = json.loads((folder / 'instances.json').read_text())
    assert len(dataset) == 4
    assert sum(map(len, labels_by_image(dataset).values())) == len(
        counts['annotations']
    )
    assert dataset.metainfo['classes'] == ('person',)
