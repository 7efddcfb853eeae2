"""Masks that are damaged or do not fit their boxes are refused."""

import numpy as np
import pytest
from pycocotools import mask as mask_api

from helpers.coco import HEIGHT, WIDTH, tiny_data
from swin_dense.detection import box_checks
from swin_dense.detection.mask_checks import check_masks

PATH = 'some/train.json'
NAN = float('nan')


def box_mask(ann, height=HEIGHT, width=WIDTH):
    x, y, w, h = ann['bbox']
    mask = np.zeros((height, width), np.uint8)
    mask[y : y + h, x : x + w] = 1
    return mask


def run_lengths(flat):
    """Return the run lengths of a flat mask, which start with zeros."""
    change = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate(([0], change, [flat.size]))).tolist()
    return [0] * int(flat[0]) + runs


def encode(mask, order='F', compress=False):
    rle = dict(size=list(mask.shape), counts=run_lengths(mask.ravel(order)))
    if compress:
        rle = mask_api.frPyObjects(rle, *mask.shape)
        rle['counts'] = rle['counts'].decode()
    return rle


def check(data):
    box_checks.fill_in_optional_fields(data)
    return check_masks(data, PATH)


def with_masks(make):
    data = tiny_data()
    for ann in data['annotations']:
        ann['segmentation'] = make(ann)
    return data


@pytest.mark.parametrize('compress', [False, True])
def test_run_lengths_along_rows_are_refused(compress):
    right = with_masks(lambda ann: encode(box_mask(ann), 'F', compress))
    assert check(right) == {}
    wrong = with_masks(lambda ann: encode(box_mask(ann), 'C', compress))
    with pytest.raises(
        ValueError,
        match='masks that lie outside their boxes.*go down the columns',
    ):
        check(wrong)


@pytest.mark.parametrize('compress', [False, True])
def test_swapped_sizes_are_refused(compress):

    def swapped(ann):
        rle = encode(box_mask(ann), 'F', compress)
        return dict(rle, size=rle['size'][::-1])

    with pytest.raises(ValueError, match=r'RLE masks whose size.*is it \[wid'):
        check(with_masks(swapped))


def test_masks_of_another_image_size():
    with pytest.raises(ValueError, match='RLE masks whose size is not the'):
        check(with_masks(lambda ann: encode(box_mask(ann, 60, 80))))


@pytest.mark.parametrize('shift', [(0, 3), (0, 4), (2, 3)])
def test_shifted_masks_are_refused(shift):
    rolled = with_masks(
        lambda ann: encode(np.roll(box_mask(ann), shift, (0, 1)))
    )
    with pytest.raises(ValueError, match='masks reach beyond their boxes'):
        check(rolled)


def test_masks_smaller_than_their_boxes_pass():

    def half(ann):
        mask = box_mask(ann)
        mask[:, ann['bbox'][0] + ann['bbox'][2] // 2 :] = 0
        return encode(mask)

    assert check(with_masks(half)) == {}


def test_masks_show_boxes_given_as_corners():
    """No box leaves its image, so only the masks show the mistake."""
    data = tiny_data()
    for ann in data['annotations']:
        ann['bbox'] = [4, 3, 6, 8]
        ann['segmentation'] = [[4, 3, 6, 3, 6, 8, 4, 8]]
    assert box_checks.check_boxes(data, PATH) == {}
    with pytest.raises(
        ValueError,
        match=r'look like \[x1, y1, x2, y2\], read '
        'so they fit the masks',
    ):
        check(data)


def test_areas_show_boxes_given_as_corners():
    data = tiny_data()
    for ann in data['annotations']:
        ann.update(bbox=[4, 3, 6, 8], area=10)
    with pytest.raises(ValueError, match='the area of 4 of 4 annotations is'):
        box_checks.check_boxes(data, PATH)


@pytest.mark.parametrize(
    'mask, message',
    [
        (
            [[1, 1, 5, NAN, 5, 5]],
            'polygons with NaN or infinity, annotations 101',
        ),
        ([[1, 1, 5, float('inf'), 5, 5]], 'polygons with NaN or infinity'),
        ([[1, 1, 5, 1e308, 5, 5]], 'points far outside their image'),
        (
            [[1, 1, 5, 10**400, 5, 5]],
            'polygons that hold a number that is too',
        ),
        ([[1, 1, 5, None, 5, 5]], 'polygons that hold null, annotations 101'),
        ([[1, 1, 5, [2], 5, 5]], 'polygons that hold a list of 1'),
        (['1 1 5 5 5 1'], "polygons that hold the text '1 1 5 5 5 1'"),
        ([None], 'polygons that hold null'),
        (
            '1 1 5 5',
            "masks that are the text '1 1 5 5', annotations 101: a mask",
        ),
        (5, 'masks that are the number 5'),
        ([[1, 1, 5, 1, 5]], 'odd count of numbers, annotations 101'),
        (None, r'or an empty one.*101 \(1 of 4\)'),
        ([[21, 11, 25, 11, 30, 11]], r'or an empty one.*101 \(1 of 4\)'),
        ([[21, 11, 21, 11, 21, 11]], r'or an empty one.*101 \(1 of 4\)'),
        (
            dict(size=[30, 40], counts=None),
            'neither run lengths nor a compressed '
            'text, but null, annotations 101',
        ),
        (dict(size=[30, 40], counts=[1, '5']), 'neither run lengths'),
        (dict(size=[30, 40], counts=[1300, -100]), 'neither run lengths'),
        (
            dict(size=[30, 40], counts=[5, 7]),
            'not the sum of their run lengths, annotations 101',
        ),
        (
            dict(size=[30, 40], counts='ooo'),
            'cannot be decoded, annotations 101',
        ),
        (dict(size=[30, 40], counts=''), 'cannot be decoded, annotations 101'),
        (
            dict(size=[30, 40], counts='5100'),
            'not the sum of their run lengths',
        ),
        (dict(size=[30, 40], counts=[1200]), r'or an empty one.*101'),
        (dict(size=[30, 40]), 'neither run lengths'),
        (dict(counts=[1200]), r'size is not the \[height, width\]'),
    ],
)
def test_masks_that_cannot_be_used(mask, message):
    data = tiny_data()
    data['annotations'][1]['segmentation'] = mask
    with pytest.raises(ValueError, match=message):
        check(data)


def test_numbers_as_text_in_polygons_are_read():
    data = tiny_data()
    ring = data['annotations'][1]['segmentation'][0]
    data['annotations'][1]['segmentation'] = [[str(value) for value in ring]]
    assert check(data) == {}
    assert data['annotations'][1]['segmentation'] == [ring]


def test_a_crossing_polygon_covers_an_area():
    """Its signed areas cancel out, but it covers pixels."""
    data = tiny_data()
    data['annotations'][1]['segmentation'] = [[20, 10, 35, 28, 35, 10, 20, 28]]
    assert check(data) == {}
