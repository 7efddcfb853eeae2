"""Boxes are filled in, checked and refused."""

import pytest

from helpers.coco import run_checks, tiny_data
from swin_dense.detection import box_checks

PATH = 'some/train.json'


def test_optional_fields_are_filled_in():
    data = tiny_data()
    first, second, third, fourth = data['annotations']
    del first['area'], first['iscrowd']
    second['segmentation'] = second['segmentation'][0]
    ring = third['segmentation'][0]
    third['segmentation'] = [list(map(list, zip(ring[::2], ring[1::2])))]
    fourth['segmentation'].append([1, 2, 3, 4])
    done = box_checks.fill_in_optional_fields(data)
    assert data == tiny_data()
    assert done == {
        'area computed from the box': [100],
        'rings of fewer than 3 points dropped': [103],
    }
    # Pairs without the outer list.
    second['segmentation'] = third['segmentation'] = [
        [1, 2],
        [3, 4],
        [5, 6],
        [7, 8],
    ]
    box_checks.fill_in_optional_fields(data)
    assert second['segmentation'] == [[1, 2, 3, 4, 5, 6, 7, 8]]


def test_a_rare_bad_box_is_left_out():
    """As in COCO, a flat box among thousands is left out."""
    data = tiny_data()
    copies = [
        dict(data['annotations'][i % 4], id=1000 + i) for i in range(2000)
    ]
    copies[3]['bbox'] = [3, 4, 5, 0]
    copies[8]['segmentation'] = []
    data['annotations'] = copies
    _, lost = run_checks(data, PATH)
    assert lost == {'box with w or h <= 0': [1003], 'no mask': [1008]}
    # A negative side is always an error.
    copies[5]['bbox'] = [3, 4, 5, -1]
    with pytest.raises(ValueError, match=r'w or h <= 0.*1003, 1005'):
        run_checks(data, PATH)


def test_boxes_a_little_beyond_the_image_are_not_xyxy():
    data = tiny_data()
    data['annotations'][1]['bbox'] = [20, 10, 22, 18]
    assert run_checks(data, PATH)[1] == {}


def test_large_boxes_at_the_top_left_are_not_xyxy():
    """Such boxes can be read as corners, but none leaves its image."""
    data = tiny_data()
    for ann in data['annotations']:
        ann['bbox'] = [2, 1, 36, 28]
    assert run_checks(data, PATH, masks=False)[1] == {}
