"""Assignments against loops over objects, and those of mmdet."""

import math

import pytest
import torch
from mmdet.models.task_modules.assigners import ATSSAssigner, PointAssigner
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData

from swin_dense.detection.reppoints_v2.assigners import (
    CenterATSSAssigner,
    CenterPointAssigner,
)

SIZES = {8: (10, 12), 16: (5, 6), 32: (3, 3), 64: (2, 2)}


def grid():
    """Points with their strides, and how many each level has."""
    levels = [
        torch.tensor(
            [
                [j * stride, i * stride, stride]
                for i in range(height)
                for j in range(width)
            ]
        ).float()
        for stride, (height, width) in SIZES.items()
    ]
    return torch.cat(levels), [len(level) for level in levels]


def objects(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 50
    size = torch.rand(count, 2, generator=generator) * 45 + 3
    boxes = torch.cat([corner, corner + size], 1)
    return InstanceData(
        bboxes=boxes,
        labels=torch.arange(count) % 3,
        centers=corner + size * torch.rand(count, 2, generator=generator),
    )


def with_box_centers(result):
    centers = (result.bboxes[:, :2] + result.bboxes[:, 2:]) / 2
    return InstanceData(
        bboxes=result.bboxes, labels=result.labels, centers=centers
    )


def slow_points(points, result):
    """The nearest point of the object's level; the nearer object wins."""
    owner, record = [0] * len(points), [math.inf] * len(points)
    for number, (box, center) in enumerate(
        zip(result.bboxes.tolist(), result.centers.tolist())
    ):
        width, height = box[2] - box[0], box[3] - box[1]
        level = int((math.log2(width / 4) + math.log2(height / 4)) / 2)
        level = min(max(level, 3), 6)
        best, place = math.inf, None
        for index, (x, y, stride) in enumerate(points.tolist()):
            if stride == 2**level:
                distance = math.hypot(
                    (x - center[0]) / width, (y - center[1]) / height
                )
                if distance < best:
                    best, place = distance, index
        if best < record[place]:
            owner[place], record[place] = number + 1, best
    return owner


def slow_atss(priors, counts, result, k=9):
    """Objects of priors above the mean and deviation of the nearest."""
    overlaps = bbox_overlaps(priors, result.bboxes).tolist()
    owner, record = [0] * len(priors), [-1.0] * len(priors)
    centers = [((a + c) / 2, (b + d) / 2) for a, b, c, d in priors.tolist()]
    for number, ((x1, y1, x2, y2), (cx, cy)) in enumerate(
        zip(result.bboxes.tolist(), result.centers.tolist())
    ):
        candidates, start = [], 0
        for count in counts:
            level = sorted(
                range(start, start + count),
                key=lambda i: math.hypot(
                    centers[i][0] - cx, centers[i][1] - cy
                ),
            )
            candidates += level[:k]
            start += count
        values = [overlaps[i][number] for i in candidates]
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / (len(values) - 1)
        for i, value in zip(candidates, values):
            x, y = centers[i]
            inside = min(x - x1, y - y1, x2 - x, y2 - y) > 0.01
            if value >= mean + variance**0.5 and inside and value > record[i]:
                owner[i], record[i] = number + 1, value
    return owner


def priors_of(points, seed=3):
    generator = torch.Generator().manual_seed(seed)
    side = points[:, 2:] * (1 + 3 * torch.rand(len(points), 2))
    shift = points[:, 2:] * torch.randn(len(points), 2, generator=generator)
    center = points[:, :2] + 0.3 * shift
    return torch.cat([center - side / 2, center + side / 2], 1)


@pytest.mark.parametrize('at_box_centers', [True, False])
def test_points(at_box_centers):
    points, _ = grid()
    actual = objects(15)
    if at_box_centers:
        actual = with_box_centers(actual)
    assigner = PointAssigner if at_box_centers else CenterPointAssigner
    result = assigner(scale=4, pos_num=1).assign(
        InstanceData(priors=points), actual
    )
    assert result.gt_inds.tolist() == slow_points(points, actual)
    assert 5 < (result.gt_inds > 0).sum() <= 15


def test_level_by_hand():
    """100 x 50 pixels: (4.644 + 3.644) / 2 = 4.144, that is stride 16."""
    points, _ = grid()
    actual = InstanceData(
        bboxes=torch.tensor([[0.0, 0, 100, 50]]), labels=torch.zeros(1).long()
    )
    result = PointAssigner(scale=4, pos_num=1).assign(
        InstanceData(priors=points), actual
    )
    (place,) = result.gt_inds.nonzero()
    assert points[place].tolist() == [[48, 32, 16]]


@pytest.mark.parametrize('at_box_centers', [True, False])
def test_atss(at_box_centers):
    points, counts = grid()
    torch.manual_seed(0)
    priors, actual = priors_of(points), objects(12, seed=1)
    if at_box_centers:
        actual = with_box_centers(actual)
    result = CenterATSSAssigner(topk=9).assign(
        InstanceData(priors=priors), counts, actual
    )
    assert result.gt_inds.tolist() == slow_atss(priors, counts, actual)
    positive = result.gt_inds > 0
    assert positive.sum() > 12
    assert torch.equal(
        result.labels[positive], actual.labels[result.gt_inds[positive] - 1]
    )
    assert (result.labels[~positive] == -1).all()
    mmdet = ATSSAssigner(topk=9).assign(
        InstanceData(priors=priors), counts, actual
    )
    assert torch.equal(mmdet.gt_inds, result.gt_inds) == at_box_centers


def test_no_objects():
    points, counts = grid()
    none = objects(0)
    for result in (
        CenterPointAssigner(scale=4, pos_num=1).assign(
            InstanceData(priors=points), none
        ),
        CenterATSSAssigner(topk=9).assign(
            InstanceData(priors=priors_of(points)), counts, none
        ),
    ):
        assert not result.gt_inds.any() and result.num_gts == 0
