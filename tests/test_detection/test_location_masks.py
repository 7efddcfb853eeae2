"""Masks of merged boxes, from views that are written out by hand."""

from types import SimpleNamespace

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from swin_dense.detection.location_masks import LocationMasks

SIZE = (4, 6)


class Head:
    """A head whose masks are constant: the only parameter."""

    test_cfg = SimpleNamespace(mask_thr_binary=0.5)

    def mask_probabilities(self, features, objects, img_shape, size):
        masks = objects.params[:, :1, None].expand(-1, *size).clone()
        masks[..., 0] = 0.0  # the first column is never part of an object
        return masks


def boxes(*rows):
    """Boxes, label and probability of the mask in each row."""
    rows = torch.tensor(rows).reshape(-1, 6)
    return InstanceData(
        bboxes=rows[:, :4],
        scores=torch.linspace(0.9, 0.5, len(rows)),
        labels=rows[:, 4].long(),
        params=rows[:, 5:],
        centers=torch.zeros(len(rows), 2),
        levels=torch.zeros(len(rows), 1),
    )


def add(collected, result, mirrored=()):
    sample = DetDataSample(metainfo=dict(img_shape=SIZE, ori_shape=SIZE))
    return collected.add(result, torch.zeros(1, 2, 3, 3), sample, mirrored)


def test_masks_are_averaged_where_boxes_agree():
    collected = LocationMasks(Head())
    first = add(
        collected,
        boxes(
            [0, 0, 4, 4, 1, 0.8], [0, 0, 4, 4, 1, 0.1], [2, 0, 6, 2, 0, 0.6]
        ),
    )
    assert {*first.keys()} == {'bboxes', 'scores', 'labels', 'view', 'number'}
    second = add(
        collected,
        boxes(
            [0, 0, 4, 3.8, 1, 0.1],  # the same object
            [2, 0, 6, 2, 1, 0.0],  # another class
            [4, 0, 6, 2, 0, 0.0],  # IoU 0.5
        ),
    )
    empty = add(collected, boxes())
    merged = InstanceData.cat([first, second, empty])[[0, 1, 2, 3]]
    masks = collected.masks(merged)
    # (0.8 + 0.1) / 2, then (0.1 + 0.1) / 2, then 0.6 alone; the last takes
    # the mean of its own 0.1 and of the best of the first view, 0.8 or 0.1.
    assert masks[:, 0, 1].tolist() == [False, False, True, False]
    assert masks.shape == (4, *SIZE) and masks.dtype == torch.bool
    assert {*merged.keys()} == {'bboxes', 'scores', 'labels'}


def test_a_box_takes_its_own_mask_in_its_own_view():
    """Also where another of the same class lies in the same place."""
    collected = LocationMasks(Head())
    result = add(collected, boxes([0, 0, 4, 4, 1, 0.1], [0, 0, 4, 4, 1, 0.8]))
    assert collected.masks(result)[:, 0, 1].tolist() == [False, True]


def test_mirrored_views_are_mirrored_back():
    collected = LocationMasks(Head())
    result = add(collected, boxes([0, 0, 4, 4, 1, 0.8]), mirrored=(-1,))
    assert collected.masks(result)[0, 0].tolist() == [True] * 5 + [False]


def test_no_boxes():
    collected = LocationMasks(Head())
    result = add(collected, boxes())
    assert collected.masks(result).shape == (0, *SIZE)
