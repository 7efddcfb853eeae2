"""Predictions are written in the format of COCO."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask

from swin_dense.detection.coco_entries import coco_entries, coco_summary

IMAGE = dict(id=7, file_name='a/b.jpg', width=6, height=4)


def test_entries_by_hand():
    masks = torch.zeros(2, 4, 6, dtype=torch.bool)
    masks[1, 1:3, 2:5] = True
    entries = InstanceData(
        bboxes=torch.tensor([[0.0, 0.0, 1.0, 1.0], [2.0, 1.0, 5.004, 3.0]]),
        labels=torch.tensor([0, 1]),
        scores=torch.tensor([0.25, 0.75]),
        masks=masks,
    )
    first, second = coco_entries(entries, IMAGE, ['cat', 'dog'])
    rle = first.pop('segmentation')
    assert first == dict(
        image_id=7,
        file_name='a/b.jpg',
        category_id=2,
        category_name='dog',
        bbox=[2.0, 1.0, 3.0, 2.0],
        score=0.75,
    )
    assert rle['size'] == [4, 6] and isinstance(rle['counts'], str)
    np.testing.assert_array_equal(coco_mask.decode(rle), masks[1].numpy())
    assert (second['category_name'], second['score']) == ('cat', 0.25)
    assert entries.bboxes[1, 2] == pytest.approx(5.004), 'input was changed'


def test_boxes_alone_have_no_segmentation():
    entries = InstanceData(
        bboxes=torch.tensor([[0.0, 0.0, 1.0, 1.0]]),
        labels=torch.tensor([0]),
        scores=torch.tensor([0.5]),
    )
    (entry,) = coco_entries(entries, IMAGE, ['cat'])
    assert 'segmentation' not in entry


def test_summary_numbers_categories_from_one():
    summary = coco_summary([IMAGE], ['cat', 'dog'])
    assert summary == dict(
        images=[IMAGE],
        annotations=[],
        categories=[dict(id=1, name='cat'), dict(id=2, name='dog')],
    )
