"""Image, boxes, masks, labels and label map of moved objects agree."""

import numpy as np
import pytest
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS

from swin_dense.detection.instance_jitter import InstanceJitter

SIZE = (60, 80)
COLOURS = np.array([[250, 30, 20], [20, 240, 40], [30, 20, 230]], np.uint8)
STUFF = 9
STAY = dict(shift=0, scale=(1, 1), angle=0)


def ring(row, column, size):
    """Return the rows and columns of a square."""
    return np.s_[row : row + size, column : column + size]


def scene(*places, ignored=()):
    """Return results of LoadAnnotations: plain squares on grey."""
    places = places or (ring(5, 6, 20), ring(30, 10, 24), ring(8, 50, 16))
    image = np.full((*SIZE, 3), 128, np.uint8)
    labels = np.full(SIZE, STUFF, np.uint8)
    masks = np.zeros((len(places), *SIZE), np.uint8)
    boxes = []
    for index, (rows, columns) in enumerate(places):
        image[rows, columns] = COLOURS[index]
        labels[rows, columns] = index
        masks[:index, rows, columns] = 0
        masks[index, rows, columns] = 1
        boxes.append([columns.start, rows.start, columns.stop, rows.stop])
    flags = np.zeros(len(places), bool)
    flags[list(ignored)] = True
    return dict(
        img=image,
        img_shape=SIZE,
        gt_bboxes=HorizontalBoxes(np.array(boxes, np.float32)),
        gt_bboxes_labels=np.arange(len(places)),
        gt_ignore_flags=flags,
        gt_masks=BitmapMasks(masks, *SIZE),
        gt_seg_map=labels,
    )


def jittered(results, seed=0, **settings):
    np.random.seed(seed)
    return InstanceJitter(**{'prob': 1.0, **settings})(results)


def check(results, names=(0, 1, 2), alone=True):
    """Check that all results show the same objects at the same places.

    Uncovered pixels beside objects that stay may have their colours.
    """
    masks = results['gt_masks'].masks.astype(bool)
    image, labels = results['img'].astype(int), results['gt_seg_map']
    assert image.dtype == int and results['img'].dtype == np.uint8
    assert masks.sum(0).max() <= 1  # masks are disjoint
    for index in names:
        mask, box = masks[index], results['gt_bboxes'].tensor[index].numpy()
        rows, columns = np.nonzero(mask)
        assert box.tolist() == [
            columns.min(),
            rows.min(),
            columns.max() + 1,
            rows.max() + 1,
        ]
        inside = np.abs(image[mask] - COLOURS[index]).max(1)
        assert (inside < 60).mean() > 0.6  # without soft outlines
        assert (labels[mask] == index).all()
        coloured = np.abs(image - COLOURS[index]).max(2) < 10
        if alone:
            assert not (coloured & ~mask).any()  # no remains of the objects
    assert set(labels[~masks.any(0)]) <= {STUFF, 255}


@pytest.mark.parametrize('seed', range(8))
def test_results_agree(seed):
    before = scene()
    results = jittered(scene(), seed, shift=0.3, scale=(0.8, 1.2), angle=20)
    check(results)
    old, new = before['gt_masks'].masks, results['gt_masks'].masks
    assert (old != new).any((1, 2)).all()
    # Uncovered pixels are inpainted with grey, and ignored.
    vacated = old.any(0) & ~new.any(0)
    assert vacated.any()
    assert np.abs(results['img'][vacated].astype(int) - 128).mean() < 25
    assert (results['gt_seg_map'][vacated] == 255).all()
    untouched = ~old.any(0) & ~new.any(0)
    assert (results['gt_seg_map'][untouched] == STUFF).all()
    assert results['gt_bboxes_labels'].tolist() == [0, 1, 2]


def test_moves_stay_in_range():
    sizes, shifts = [], []
    for seed in range(60):
        results = jittered(
            scene(ring(20, 30, 20)), seed, shift=0.1, scale=(0.8, 1.2)
        )
        left, top, right, bottom = results['gt_bboxes'].tensor[0].tolist()
        sizes.append((right - left) / 20)
        shifts.append((left + right) / 2 - 40)
    assert min(sizes) < 0.9 and max(sizes) > 1.1
    assert min(sizes) >= 0.75 and max(sizes) <= 1.25
    assert min(shifts) < -1 and max(shifts) > 1
    assert max(map(abs, shifts)) <= 0.1 * 20 + 1


def test_without_a_move_all_is_as_before():
    results, before = jittered(scene(), **STAY), scene()
    for key in ('img', 'gt_seg_map', 'gt_ignore_flags'):
        np.testing.assert_array_equal(results[key], before[key])
    np.testing.assert_array_equal(
        results['gt_masks'].masks, before['gt_masks'].masks
    )
    assert (results['gt_bboxes'].tensor == before['gt_bboxes'].tensor).all()


def test_a_share_of_images_changes():
    changed = 0
    np.random.seed(0)
    jitter = InstanceJitter(prob=0.3)
    for _ in range(60):
        changed += (jitter(scene())['img'] != scene()['img']).any()
    assert 8 <= changed <= 28
    assert (jittered(scene(), prob=0.0)['img'] == scene()['img']).all()


def test_ignored_objects_stay():
    results, before = jittered(scene(ignored=[1]), shift=0.2), scene()
    check(results, (0, 2))
    assert (results['gt_masks'].masks[1] == before['gt_masks'].masks[1]).all()
    assert results['gt_bboxes'].tensor[1].tolist() == [10, 30, 34, 54]
    rows, columns = ring(30, 10, 24)
    assert (results['img'][rows, columns] == COLOURS[1]).all()


def test_smaller_objects_are_in_front_and_none_is_hidden():
    # The small object lies on the large one, whose mask excludes it.
    places = ring(10, 20, 40), ring(25, 35, 10)
    for seed in range(8):
        results = jittered(scene(*places), seed, shift=0.5, max_hidden=0.3)
        check(results, (0, 1), alone=False)
        large, small = results['gt_masks'].masks.astype(int)
        assert small.sum() >= 0.7 * 64 and large.sum() >= 0.7 * 0.64 * 1500


def test_objects_that_would_be_hidden_stop_others():
    # Side by side: any move would hide part of another object.
    places = ring(10, 10, 20), ring(10, 30, 20), ring(30, 10, 20)
    for seed in range(1, 6):
        strict = jittered(
            scene(*places),
            seed,
            shift=0.9,
            scale=(1, 1),
            angle=0,
            max_hidden=0,
        )
        assert (strict['gt_masks'].masks.sum((1, 2)) >= 200).all()
        check(strict, alone=False)


def test_the_input_is_left_alone():
    results = scene()
    arrays = {
        'img': results['img'],
        'gt_seg_map': results['gt_seg_map'],
        'masks': results['gt_masks'].masks,
        'boxes': results['gt_bboxes'].tensor,
    }
    copies = {key: np.array(value) for key, value in arrays.items()}
    jittered(results, shift=0.3)
    for key, value in arrays.items():
        np.testing.assert_array_equal(np.array(value), copies[key])


def test_empty_images_and_images_without_label_maps():
    empty = dict(
        scene(),
        gt_masks=BitmapMasks(np.zeros((0, *SIZE), np.uint8), *SIZE),
        gt_bboxes=HorizontalBoxes(np.zeros((0, 4), np.float32)),
        gt_ignore_flags=np.zeros(0, bool),
    )
    assert (jittered(empty)['img'] == scene()['img']).all()
    without = scene()
    del without['gt_seg_map']
    assert 'gt_seg_map' not in jittered(without)


def test_one_seed_one_result():
    first, second = jittered(scene(), 5), jittered(scene(), 5)
    np.testing.assert_array_equal(first['img'], second['img'])
    assert (jittered(scene(), 6)['img'] != first['img']).any()


@pytest.mark.parametrize(
    'wrong, message',
    [
        (dict(prob=1.5), 'prob=1.5 must be in'),
        (dict(max_hidden=1), 'max_hidden=1 in'),
        (dict(shift=-1), 'shift=-1'),
        (dict(scale=(1.2, 0.8)), r'scale=\(1.2, 0.8\)'),
    ],
)
def test_wrong_settings(wrong, message):
    with pytest.raises(ValueError, match=message):
        ROOT_TRANSFORMS.build(dict(type='swin_dense.InstanceJitter', **wrong))


def test_polygons_are_refused():
    polygons = dict(scene(), gt_masks=PolygonMasks([], *SIZE))
    with pytest.raises(
        ValueError,
        match='needs masks as bitmaps, got PolygonMasks.*poly2mask=True',
    ):
        jittered(polygons)
