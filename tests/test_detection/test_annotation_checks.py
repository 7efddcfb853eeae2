"""Damaged annotation files are refused with file, ids and remedy."""

import json

import numpy as np
import pytest

from helpers.coco import run_checks, tiny_data
from swin_dense.detection import annotation_checks

PATH = 'some/train.json'


def change(**values):
    """Return a function that sets keys of the second annotation."""

    def apply(data):
        data['annotations'][1].update(values)

    return apply


def drop(key):

    def apply(data):
        for ann in data['annotations']:
            del ann[key]

    return apply


def repeat(part, key):

    def apply(data):
        data[part][1][key] = data[part][0][key]

    return apply


def all_boxes(function):

    def apply(data):
        for ann in data['annotations']:
            ann['bbox'] = function(*ann['bbox'])

    return apply


BAD = {
    'image ids': (repeat('images', 'id'), 'images share the id 7'),
    'file names': (
        repeat('images', 'file_name'),
        'images share the file_name 7.png',
    ),
    'annotation ids': (
        repeat('annotations', 'id'),
        'annotations share the id 100',
    ),
    'category ids': (repeat('categories', 'id'), 'categories share the id 20'),
    'category names': (
        repeat('categories', 'name'),
        'categories share the name cat',
    ),
    'unknown image': (change(image_id=77), 'not in the file, ids 101'),
    'unknown category': (
        change(category_id=3),
        r'annotations 101 use the category ids 3, but the '
        r'categories are 10, 20',
    ),
    'NaN': (
        change(bbox=[1, float('nan'), 3, 4]),
        'NaN or infinity: annotations 101',
    ),
    'None': (change(bbox=[1, None, 3, 4], area=1), 'NaN or infinity.*101'),
    'infinite': (change(bbox=[1, 2, float('inf'), 4]), 'infinity.*101'),
    'three numbers': (
        change(bbox=[1, 2, 3], area=1),
        r'not four numbers.*101',
    ),
    'negative width': (
        change(bbox=[5, 5, -3, 4]),
        r'w or h <= 0; correct or remove them: annotations 101',
    ),
    'no height': (change(bbox=[5, 5, 3, 0]), r'w or h <= 0.*101 \(1 of 4\)'),
    'xyxy': (
        all_boxes(lambda x, y, w, h: [x, y, x + w, y + h]),
        r'look like \[x1, y1, x2, y2\], COCO needs \[x, y, w, h\].*101',
    ),
    'normalised': (
        all_boxes(lambda x, y, w, h: [x / 40, y / 30, w / 40, h / 30]),
        'look normalised.*annotation 100.*multiply',
    ),
    'too many lost': (
        all_boxes(lambda x, y, w, h: [x, y, w, 0.5]),
        r'too many of its 4 annotations cannot be used\n'
        r'  box under 1 pixel +4  ids 100, 101',
    ),
    'outside': (change(bbox=[50, 5, 3, 4]), r'outside the image +1  ids 101'),
    'no masks': (
        drop('segmentation'),
        r'none of its 4 annotations has a segmentation',
    ),
    'masks in part': (
        change(segmentation=[]),
        r'some annotations have none.*101 \(1 of 4\)',
    ),
    'two points': (
        change(segmentation=[[1, 2, 3, 4]]),
        r'or an empty one.*101 \(1 of 4\)',
    ),
    'odd ring': (
        change(segmentation=[[1, 2, 3, 4, 5, 6, 7]]),
        'odd count of numbers, annotations 101',
    ),
    'RLE size': (
        change(segmentation=dict(size=[40, 30], counts=[1200])),
        r'RLE masks whose size.*101',
    ),
    'RLE counts': (
        change(segmentation=dict(size=[30, 40], counts=[5, 7])),
        r'RLE masks whose size.*101',
    ),
    'RLE empty': (
        change(segmentation=dict(size=[30, 40], counts=[1200])),
        r'an empty one.*101',
    ),
    'mask elsewhere': (
        change(segmentation=[[0, 0, 4, 0, 4, 4]]),
        'outside their boxes.*101',
    ),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_annotations(name):
    break_it, message = BAD[name]
    data = tiny_data()
    break_it(data)
    with pytest.raises(ValueError, match='(?s)' + message) as info:
        run_checks(data, PATH)
    assert PATH in str(info.value)


def test_good_annotations_pass():
    data = tiny_data()
    assert run_checks(data, PATH) == ([20, 10], {})
    assert data == tiny_data()


@pytest.mark.parametrize('part', ['images', 'annotations', 'categories'])
def test_not_a_detection_file(tmp_path, part):
    path = tmp_path / 'train.json'
    data = tiny_data()
    key = dict(images='width', annotations='bbox', categories='name')[part]
    del data[part][1][key]
    path.write_text(json.dumps(data))
    first = data[part][1]['id']
    with pytest.raises(ValueError, match=f"{part} without '{key}': {first}"):
        annotation_checks.load_coco(path)
    del data[part]
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=f"has no list '{part}'"):
        annotation_checks.load_coco(path)
    if part == 'annotations':
        assert annotation_checks.load_coco(path, False)['annotations'] == []


def test_not_json(tmp_path):
    path = tmp_path / 'train.json'
    path.write_text(json.dumps(tiny_data())[:-30])
    with pytest.raises(ValueError, match='is not a JSON file.*complete'):
        annotation_checks.load_coco(path)
    path.write_text('[]')
    with pytest.raises(ValueError, match='a list is a file of predictions'):
        annotation_checks.load_coco(path)


@pytest.mark.parametrize(
    'classes, message',
    [
        (
            ['dog', 'Cat '],
            r"class 'Cat ' is not in some/train.json \(did you mean "
            r"'cat'\?\)\. Categories there: 'cat', 'dog'",
        ),
        (['dgo', 'cat'], r"'dgo' is not in .* \(did you mean 'dog'"),
        (['dog', 'zebra'], r"class 'zebra' is not in some/train.json\. Cat"),
        ('dog', r"must be a list of names; got 'dog': write \['dog'\]"),
        ([], 'classes is empty: some/train.json has the categories cat, dog'),
        (['dog', 'cat', 'dog'], 'classes name dog more than once'),
        (
            ['dog'],
            r'2 annotations belong to categories that are not in classes: '
            r"'cat' \(2\).*allow_subset=True",
        ),
    ],
)
def test_classes(classes, message):
    with pytest.raises(ValueError, match=message):
        run_checks(tiny_data(), PATH, classes)


def test_labels_follow_the_users_order():
    assert run_checks(tiny_data(), PATH, ['dog', 'cat'])[0] == [10, 20]
    assert run_checks(tiny_data(), PATH, ['cat', 'dog'])[0] == [20, 10]
    assert run_checks(tiny_data(), PATH, ['dog'], allow_subset=True)[0] == [10]
    unused = tiny_data()
    unused['categories'].append(dict(id=3, name='cow'))
    assert run_checks(unused, PATH, ['dog', 'cat'])[0] == [10, 20]


def test_compressed_rle():
    from pycocotools import mask as mask_api

    data = tiny_data()
    mask = np.zeros((30, 40), np.uint8, order='F')
    mask[10:28, 20:35] = 1
    rle = mask_api.encode(mask)
    rle['counts'] = rle['counts'].decode()
    data['annotations'][1]['segmentation'] = rle
    assert run_checks(data, PATH)[1] == {}


def test_masks_are_not_checked_for_boxes_only():
    data = tiny_data()
    drop('segmentation')(data)
    assert run_checks(data, PATH, masks=False)[1] == {}
