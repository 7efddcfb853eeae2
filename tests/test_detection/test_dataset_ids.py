"""Ids and colours of a data set are found from its config."""

import json

import numpy as np
from mmdet.datasets import CocoDataset
from mmengine.structures import InstanceData

from swin_dense.detection.dataset_ids import find_ids, find_palette
from swin_dense.detection.result import DetectionResult
from swin_dense.detection.write_predictions import CocoResults

COCO = CocoDataset.METAINFO


def write(path, **changes):
    content = dict(
        images=[
            dict(id=40, file_name='a/1.jpg'),
            dict(id=50, file_name='b/2.jpg'),
            dict(id=60, file_name='c/2.jpg'),
        ],
        annotations=[],
        categories=[dict(id=9, name='dog'), dict(id=4, name='cat')],
    )
    path.write_text(json.dumps({**content, **changes}))
    return dict(data_root=str(path.parent), ann_file=path.name)


def test_ids_of_the_annotation_file(tmp_path):
    ids = find_ids(write(tmp_path / 'a.json'), ['cat', 'dog'])
    assert ids.categories == [4, 9]
    assert ids.images == {'1.jpg': 40}  # two images are named 2.jpg


def test_ids_without_an_annotation_file(tmp_path):
    absent = dict(data_root='no', ann_file='a.json')
    assert find_ids(absent, ['cat', 'unicorn']).categories == [1, 2]
    # COCO has them, with gaps between their numbers.
    assert find_ids(absent, ['toothbrush', 'cat']).categories == [90, 17]
    assert find_ids({}, COCO['classes']).categories[-1] == 90
    for content in (dict(categories=None), dict(images=[{}])):
        broken = write(tmp_path / 'a.json', **content)
        assert find_ids(broken, ['x', 'y']) == ([1, 2], {})


def test_palettes():
    kind = dict(type='mmdet.CocoDataset')
    assert find_palette(kind, COCO['classes']) == COCO['palette']
    cat = COCO['palette'][COCO['classes'].index('cat')]
    assert find_palette(kind, ['cat']) == [cat]
    assert find_palette(kind, ['mouse trap']) is None
    own = dict(
        kind, metainfo=dict(classes=['a', 'b'], palette=[(1, 2, 3)] * 2)
    )
    assert find_palette(own, ['b']) == [(1, 2, 3)]
    assert (
        find_palette(dict(type='swin_dense.CheckedCocoDataset'), ['a']) is None
    )


def test_files_have_the_ids_of_the_data_set(tmp_path):
    ids = find_ids(write(tmp_path / 'a.json'), ['cat', 'dog'])
    out = tmp_path / 'out'
    names = ['1.jpg', 'other.jpg', '2.jpg']
    writer = CocoResults(
        out, [out / n for n in names], ['cat', 'dog'], 0.3, ids, ['dog']
    )
    found = InstanceData(
        bboxes=np.array([[1, 1, 5, 5.0]] * 2),
        labels=np.array([0, 1]),
        scores=np.array([0.9, 0.8]),
    )
    image = np.zeros((8, 8, 3), np.uint8)
    for index, name in enumerate(names):
        writer.add(
            index,
            DetectionResult(
                image, found, ['cat', 'dog'], name, category_ids=ids.categories
            ),
        )
    writer.close()
    entries = json.loads((out / 'predictions.json').read_text())
    # Images of other data sets are numbered.
    assert [e['image_id'] for e in entries] == [40, 1, 2]
    assert {e['category_id'] for e in entries} == {9}  # no cats
    summary = json.loads((out / 'images.json').read_text())
    assert summary['categories'] == [
        dict(id=4, name='cat'),
        dict(id=9, name='dog'),
    ]
