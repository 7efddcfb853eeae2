"""Pseudo boxes in another view, and how much they scatter."""

import math

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from swin_dense.detection.soft_teacher.pseudo_boxes import (
    between_views,
    jittered,
    moved,
    uncertainty,
    warped,
)

BOXES = torch.tensor([[2.0, 3.0, 10.0, 9.0], [0.0, 0.0, 4.0, 20.0]])
IDENTITY = torch.eye(3)


def view(matrix, shape=(20, 30)):
    return DetDataSample(
        metainfo=dict(homography_matrix=np.array(matrix), img_shape=shape)
    )


def shift(x, y):
    return torch.tensor([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


def mask_of(top, left, bottom, right, shape=(20, 30)):
    mask = torch.zeros(1, *shape, dtype=torch.bool)
    mask[0, top:bottom, left:right] = True
    return mask


def test_between_equal_views_nothing_moves():
    turn = [[0.6, -0.8, 3], [0.8, 0.6, -2], [0, 0, 1]]
    matrix = between_views(view(turn), view(turn), BOXES)
    torch.testing.assert_close(matrix, IDENTITY, atol=1e-6, rtol=0)
    found = InstanceData(bboxes=BOXES, labels=torch.tensor([1, 0]))
    result = moved(found, matrix, (20, 30))
    torch.testing.assert_close(result.bboxes, BOXES)
    assert result.labels.tolist() == [1, 0]


def test_from_a_flipped_view_to_a_scaled_one():
    """x becomes 30 - x, then twice that."""
    flipped = view([[-1.0, 0, 30], [0, 1, 0], [0, 0, 1]])
    doubled = view(np.diag([2.0, 2, 1]), (40, 60))
    matrix = between_views(flipped, doubled, BOXES)
    result = moved(InstanceData(bboxes=BOXES), matrix, (40, 60))
    assert result.bboxes.tolist() == [[40, 6, 56, 18], [52, 0, 60, 40]]


def test_an_unchanged_view_has_no_matrix():
    plain = DetDataSample(metainfo=dict(img_shape=(20, 30)))
    matrix = between_views(plain, view(shift(2, 1).double()), BOXES)
    assert torch.equal(matrix, shift(2, 1))


def test_boxes_are_cut_off_at_the_border():
    result = moved(InstanceData(bboxes=BOXES), shift(24, 12), (20, 30))
    assert result.bboxes.tolist() == [[26, 15, 30, 20], [24, 12, 28, 20]]


def test_a_mask_of_a_moved_view_moves_with_it():
    mask = mask_of(3, 2, 9, 10)
    result = warped(mask, shift(5, -2), (20, 30))
    assert torch.equal(result.bool(), mask_of(1, 7, 7, 15))
    assert result.dtype == torch.uint8


@pytest.mark.parametrize('shape', [(20, 30), (40, 60), (16, 25)])
def test_a_mask_fills_its_box_in_a_view_of_another_size(shape):
    """Scaled by 2 and flipped upside down, a rectangle is one again."""
    matrix = torch.tensor([[2.0, 0, 0], [0, -2, 40], [0, 0, 1]])
    expected = mask_of(22, 4, 34, 20, (40, 60))[:, : shape[0], : shape[1]]
    result = warped(mask_of(3, 2, 9, 10), matrix, shape)
    assert torch.equal(result.bool(), expected)


def test_masks_become_those_of_mmdet():
    found = InstanceData(bboxes=BOXES[:1], masks=mask_of(3, 2, 9, 10))
    result = moved(found, shift(1, 1), (24, 32))
    assert result.masks.masks.shape == (1, 24, 32)
    expected = mask_of(4, 3, 10, 11, (24, 32))
    assert np.array_equal(result.masks.masks, expected.byte().numpy())
    assert result.bboxes.tolist() == [[3, 4, 11, 10]]


def test_jitter_scatters_by_a_share_of_the_box():
    torch.manual_seed(0)
    copies = jittered(BOXES, 20000, 0.06)
    assert copies.shape == (20000, 2, 4)
    expected = 0.06 * torch.tensor([[8.0, 6, 8, 6], [4, 20, 4, 20]])
    torch.testing.assert_close(copies.std(dim=0), expected, rtol=0.02, atol=0)
    torch.testing.assert_close(copies.mean(dim=0), BOXES, rtol=0, atol=0.05)


def test_boxes_of_less_than_a_pixel_move_as_one_of_a_pixel():
    torch.manual_seed(0)
    copies = jittered(torch.tensor([[5.0, 5, 5.1, 5]]), 20000, 0.5)
    assert copies.std(dim=0).tolist()[0] == pytest.approx([0.5] * 4, rel=0.02)


class Head(torch.nn.Module):
    """A RoI head that regresses proposals by a function."""

    def __init__(self, regress):
        super().__init__()
        self.regress = regress

    def predict_bbox(self, x, metas, proposals, rcnn_test_cfg, rescale):
        assert rcnn_test_cfg is None
        assert not rescale
        return [
            InstanceData(bboxes=self.regress(each.bboxes))
            for each in proposals
        ]


def scatter(regress, labels, times=4, boxes=BOXES):
    found = InstanceData(bboxes=boxes, labels=torch.tensor(labels))
    (result,) = uncertainty(
        Head(regress), [], {}, [DetDataSample()], [found], times, 0.06
    )
    return result


def test_a_head_that_ignores_the_proposal_is_certain():
    result = scatter(lambda boxes: BOXES.repeat(4, 1), [0, 0])
    assert result.tolist() == [0, 0]


def test_uncertainty_by_hand():
    """Copies end at 0, 2, 4 and 6 pixels right of the box: std 2.582."""
    moves = torch.tensor([0.0, 2, 4, 6]).repeat_interleave(2)
    steps = torch.stack([moves, moves * 0, moves, moves * 0], dim=1)
    result = scatter(lambda boxes: BOXES.repeat(4, 1) + steps, [0, 0])
    std = math.sqrt(20 / 3)
    assert result.tolist() == pytest.approx([std / 8 / 2, std / 4 / 2])


def test_the_box_of_the_predicted_class_counts():
    """Class 1 scatters, class 0 does not."""
    noise = torch.arange(8.0).repeat_interleave(4).view(8, 4)

    def regress(boxes):
        fixed = BOXES.repeat(4, 1)
        return torch.cat([fixed, fixed + noise], dim=1)

    certain, uncertain = scatter(regress, [0, 1])
    assert certain == 0
    assert uncertain > 0.1


def test_images_without_pseudo_boxes():
    head = Head(lambda boxes: pytest.fail('nothing to regress'))
    empty = InstanceData(bboxes=BOXES[:0], labels=torch.zeros(0).long())
    (result,) = uncertainty(head, [], {}, [DetDataSample()], [empty], 4, 0.06)
    assert result.shape == (0,)


@pytest.mark.parametrize('classes', [1, 3])
def test_an_image_without_pseudo_boxes_beside_another(classes):
    head = Head(lambda boxes: boxes.repeat(1, classes))
    found, empty = (
        InstanceData(bboxes=BOXES[:n], labels=torch.zeros(n).long())
        for n in (2, 0)
    )
    samples = [DetDataSample(), DetDataSample()]
    first, second = uncertainty(head, [], {}, samples, [found, empty], 4, 0.06)
    assert first.shape == (2,) and (first > 0).all()
    assert second.shape == (0,)
