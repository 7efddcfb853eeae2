"""Masks in boxes have mmdet's pixels and need less memory."""

import numpy as np
import pytest
import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmengine.config import Config
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask

from swin_dense.detection import masks as module
from swin_dense.detection.coco_entries import coco_entries
from swin_dense.detection.masks import BoxMasks, keep_in_boxes
from swin_dense.visualization import draw_instances

SIZE = 37, 53
# Some boxes reach beyond the image or have no extent. mmdet fails on boxes
# outside the image.
BOXES = torch.tensor(
    [
        [3.2, 4.7, 20.1, 30.3],
        [0, 0, 53, 37],
        [-5, 10, 12, 60],
        [40, 30, 70, 37],
        [9, 9, 9, 20],
        [0, 0, 1, 37],
    ]
)


def predict(boxes, head=None, class_agnostic=False, seed=0, **changes):
    """Return the masks of mmdet's head for random maps, at twice the size."""
    head = head or FCNMaskHead(num_classes=3, class_agnostic=class_agnostic)
    torch.manual_seed(seed)
    maps = torch.randn(len(boxes), 1 if class_agnostic else 3, 14, 14) * 3
    results = InstanceData(
        bboxes=boxes * 2, labels=torch.arange(len(boxes)) % 3
    )
    meta = dict(scale_factor=(2.0, 2.0), ori_shape=SIZE, img_shape=(74, 106))
    options = dict(rescale=True, **changes)
    if options.get('activate_map'):
        maps = maps.sigmoid().numpy()
    return head.predict_by_feat(
        [maps], [results], [meta], Config(dict(mask_thr_binary=0.5)), **options
    )[0]


def kept(boxes=BOXES, class_agnostic=False, **changes):
    head = FCNMaskHead(num_classes=3, class_agnostic=class_agnostic)
    keep_in_boxes(head)
    return predict(boxes, head, class_agnostic, **changes)


@pytest.mark.parametrize('part', [1, 60, 10**6])
@pytest.mark.parametrize(
    'options', [{}, dict(class_agnostic=True), dict(activate_map=True)]
)
def test_the_pixels_of_mmdet(monkeypatch, part, options):
    monkeypatch.setattr(module, 'PART', part)
    expected = predict(BOXES, **options)
    actual = kept(**options)
    assert isinstance(actual.masks, BoxMasks)
    assert actual.masks.shape == (len(BOXES), *SIZE)
    torch.testing.assert_close(actual.bboxes, expected.bboxes)
    written = actual.masks.to_ndarray()
    np.testing.assert_array_equal(written, expected.masks.numpy())
    assert written.any((1, 2)).sum() >= 4
    for index, mask in enumerate(written):
        rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
        assert actual.masks.rle(index) == rle


def test_results_and_pictures_are_the_same():
    expected, actual = predict(BOXES), kept()
    for instances in (expected, actual):
        instances.scores = torch.linspace(0.9, 0.2, len(BOXES))
    classes = ['a', 'b', 'c']
    image = dict(id=1, file_name='x')
    assert coco_entries(actual, image, classes) == coco_entries(
        expected, image, classes
    )
    pixels = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    np.testing.assert_array_equal(
        draw_instances(pixels, actual, classes),
        draw_instances(pixels, expected, classes),
    )


def test_an_image_without_instances():
    actual = kept(BOXES[:0])
    assert len(actual.masks) == 0
    assert (
        coco_entries(
            InstanceData(
                bboxes=actual.bboxes,
                labels=actual.labels,
                scores=torch.zeros(0),
                masks=actual.masks,
            ),
            dict(id=1, file_name='x'),
            [],
        )
        == []
    )


def test_chosen_and_resized_masks():
    masks = kept().masks
    chosen = masks[np.array([True] * 2 + [False] * 4)]
    np.testing.assert_array_equal(chosen.to_ndarray(), masks.to_ndarray()[:2])
    half = masks.resized((26, 18), 0.5)
    assert half.shape == (6, 18, 26)
    share = masks.to_ndarray().mean((1, 2)) - half.to_ndarray().mean((1, 2))
    assert abs(share).max() < 0.06


def test_boxes_outside_the_image():
    boxes = torch.tensor([[60.0, 2, 70, 9], [5, 50, 9, 60], [-9, -9, -5, -5]])
    masks = BoxMasks(torch.ones(3, 1, 2, 2)[:, 0], boxes, SIZE, 0.5)
    assert not masks.to_ndarray().any()
    assert [int(coco_mask.area(masks.rle(i))) for i in range(3)] == [0] * 3


def test_a_mask_of_a_very_large_image():
    """As an array it would take 1 GB."""
    masks = BoxMasks(
        torch.ones(1, 2, 2),
        torch.tensor([[7.0, 5.0, 1007.0, 9.0]]),
        (2**15, 2**15),
        0.5,
    )
    rle = masks.rle(0)
    assert rle['size'] == [2**15, 2**15]
    # Interpolation rounds the corners.
    assert 3600 < int(coco_mask.area(rle)) < 1000 * 4
    left, top, width, height = coco_mask.toBbox(rle).tolist()
    assert 7 <= left <= left + width <= 1007 and (top, height) == (5, 4)
