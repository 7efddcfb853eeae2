"""Fields of the wrong type are converted or refused."""

import copy
import json

import pytest

from helpers.coco import dataset_config, tiny_data, write_data
from swin_dense.detection.annotation_checks import load_coco
from swin_dense.detection.annotation_fields import check_fields
from swin_dense.detection.dataset import CheckedCocoDataset

PATH = 'some/train.json'


def second(part, **values):
    """Return the data with changed fields in the second entry of a list."""
    data = tiny_data()
    data[part][1].update(values)
    return data


@pytest.mark.parametrize(
    'part, values, message',
    [
        (
            'annotations',
            dict(category_id=None),
            'annotations 101: category_id is null, expected a whole number',
        ),
        (
            'annotations',
            dict(category_id='cat'),
            "101: category_id is the text 'cat', expected a whole",
        ),
        ('annotations', dict(category_id=True), '101: category_id is true'),
        ('annotations', dict(image_id=[7]), '101: image_id is a list of 1'),
        ('annotations', dict(image_id=7.5), '101: image_id is the number 7.5'),
        ('annotations', dict(id=None), 'annotations number 1: id is null'),
        (
            'annotations',
            dict(bbox=None),
            '101: bbox is null, expected four num',
        ),
        ('annotations', dict(bbox=[1, 2, 3]), '101: bbox is a list of 3'),
        (
            'annotations',
            dict(bbox=[[1, 2], [3, 4]]),
            '101: bbox is a list of 2',
        ),
        (
            'annotations',
            dict(bbox=[1, 2, 3, None]),
            '101: bbox is a list of 4',
        ),
        (
            'annotations',
            dict(bbox='1 2 3 4'),
            "101: bbox is the text '1 2 3 4'",
        ),
        (
            'annotations',
            dict(bbox=[1, 2, 3, 10**400]),
            '101: bbox is a list of',
        ),
        (
            'annotations',
            dict(area=[5]),
            '101: area is a list of 1, expected a',
        ),
        (
            'annotations',
            dict(area=10**400),
            '101: area is a number that is too',
        ),
        (
            'annotations',
            dict(iscrowd=2),
            '101: iscrowd is the number 2, expected 0 or 1',
        ),
        (
            'annotations',
            dict(ignore='maybe'),
            "101: ignore is the text 'maybe'",
        ),
        ('images', dict(id=None), 'images number 1: id is null'),
        (
            'images',
            dict(width=None),
            'images 5: width is null, expected a whole',
        ),
        ('images', dict(width=-40), '5: width is the number -40'),
        ('images', dict(height=0), '5: height is the number 0'),
        (
            'images',
            dict(height=10**12),
            '5: height is the number 1e.12, expected a whole number of '
            'pixels, 1 to '
            '1048576',
        ),
        ('images', dict(height='30 px'), "5: height is the text '30 px'"),
        ('images', dict(height=float('inf')), '5: height is the number inf'),
        ('images', dict(height=1e308), '5: height is the number 1e.308'),
        (
            'images',
            dict(file_name=None),
            '5: file_name is null, expected a path',
        ),
        ('images', dict(file_name=' '), '5: file_name is the text'),
        ('categories', dict(name=None), 'categories 10: name is null'),
        ('categories', dict(id='dog'), "categories dog: id is the text 'dog'"),
    ],
)
def test_wrong_types(part, values, message):
    with pytest.raises(ValueError, match=message) as info:
        check_fields(second(part, **values), PATH)
    assert str(info.value).startswith(f'{PATH}: fields of the wrong type\n')


def test_all_wrong_fields_are_named_at_once():
    data = second('annotations', category_id=None, bbox='x')
    data['images'][0]['width'] = {}
    with pytest.raises(ValueError) as info:
        check_fields(data, PATH)
    assert len(str(info.value).splitlines()) == 4


def as_text(data):
    """Return the data with all numbers as text."""
    if isinstance(data, dict):
        return {key: as_text(value) for key, value in data.items()}
    if isinstance(data, list):
        return [as_text(value) for value in data]
    return str(data)


def test_numbers_as_text_are_read():
    data = as_text(tiny_data())
    done = check_fields(data, PATH)
    expected = as_text(tiny_data())['annotations'][0]['segmentation']
    for actual, original in zip(
        data['annotations'], tiny_data()['annotations']
    ):
        del actual['segmentation'], original['segmentation']
        assert actual == original
    assert data['images'] == tiny_data()['images']
    assert data['categories'] == tiny_data()['categories']
    assert len(done) == 10
    assert done['id of images read from another type'] == ['7', '5', '9']
    assert expected[0][0] == '2'


@pytest.mark.parametrize(
    'value, meant',
    [
        (dict(category_id=10.0), dict(category_id=10)),
        (dict(category_id=' 10 '), dict(category_id=10)),
        (dict(iscrowd=True), dict(iscrowd=1)),
        (dict(iscrowd=None), dict(iscrowd=0)),
        (dict(ignore='false'), dict(ignore=0)),
        (dict(area='12.5'), dict(area=12.5)),
        (dict(area=None), dict(area=None)),
        (dict(bbox=['1', 2.0, '3.5', 4]), dict(bbox=[1, 2, 3.5, 4])),
    ],
)
def test_values_with_one_meaning_are_converted(value, meant):
    data = second('annotations', **value)
    check_fields(data, PATH)
    assert data == second('annotations', **meant)


def test_clean_data_is_left_alone():
    data = tiny_data()
    assert check_fields(data, PATH) == {}
    assert data == tiny_data()


def test_ids_may_all_be_text():
    data = tiny_data()
    for image in data['images']:
        image['id'] = f'photo {image["id"]}'
    for ann in data['annotations']:
        ann['image_id'] = f'photo {ann["image_id"]}'
    before = copy.deepcopy(data)
    assert check_fields(data, PATH) == {}
    assert data == before


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16'])
def test_byte_order_marks(tmp_path, encoding):
    path = tmp_path / 'train.json'
    path.write_text(json.dumps(tiny_data()), encoding=encoding)
    assert load_coco(path) == tiny_data()


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(images=[]), "the list 'images' is empty"),
        (dict(categories=[]), "the list 'categories' is empty"),
        (dict(categories=None), "no list 'categories', but NoneType there"),
        (dict(annotations={'1': {}}), "no list 'annotations', but dict there"),
        (
            dict(annotations=[[1, 2]]),
            "entries of 'annotations' must be objects",
        ),
    ],
)
def test_wrong_shape(tmp_path, change, message):
    path = tmp_path / 'train.json'
    path.write_text(json.dumps({**tiny_data(), **change}))
    with pytest.raises(ValueError, match=message):
        load_coco(path)


def test_the_data_set_reads_text(tmp_path, logged):
    data = tiny_data()
    for image in data['images']:
        image.update(id=str(image['id']), width='40')
    write_data(tmp_path, data)
    dataset = CheckedCocoDataset(**dataset_config(tmp_path, test_mode=True))
    infos = [dataset.get_data_info(i) for i in range(3)]
    assert [info['img_id'] for info in infos] == [7, 5, 9]
    assert [len(info['instances']) for info in infos] == [2, 2, 0]
    assert 'width of images read from another type' in logged.text
