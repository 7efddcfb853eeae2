"""Losses against their formulas, with numbers that can be done by hand."""

import math

import pytest
import torch
from mmdet.models.losses import GaussianFocalLoss, GIoULoss, QualityFocalLoss

from swin_dense.detection.reppoints_v2.losses import (
    LegacyGIoULoss,
    SeparateFocalLoss,
)
from swin_dense.detection.reppoints_v2.mask_losses import dice_loss


def box(*sides):
    return torch.tensor([sides], dtype=torch.float64)


def slow_giou(a, b, eps=1e-6):
    """1 - GIoU with both end pixels counted, from single numbers."""

    def area(x1, y1, x2, y2):
        return (x2 - x1 + 1) * (y2 - y1 + 1)

    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    overlap = max(width, 0) * max(height, 0)
    union = area(*a) + area(*b) - overlap + eps
    width = max(a[2], b[2]) - min(a[0], b[0]) + 1
    height = max(a[3], b[3]) - min(a[1], b[1]) + 1
    enclosing = max(width, 0) * max(height, 0) + eps
    return 1 - (overlap / union - (enclosing - union) / enclosing)


def test_legacy_giou_by_hand():
    """IoU 1 / 7 in an enclosing area of 9; without the pixel more, 1.5."""
    pair = box(0, 0, 1, 1), box(1, 1, 2, 2)
    assert LegacyGIoULoss()(*pair).item() == pytest.approx(1.07937, abs=1e-5)
    assert GIoULoss()(*pair).item() == pytest.approx(1.5, abs=1e-5)
    assert LegacyGIoULoss()(pair[0], pair[0]).item() == pytest.approx(
        0, abs=1e-6
    )
    weighted = LegacyGIoULoss(loss_weight=2.0)(*pair, avg_factor=4)
    assert weighted.item() == pytest.approx(1.07937 / 2, abs=1e-5)


def test_legacy_giou_of_random_boxes():
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(2, 40, 4, generator=generator, dtype=torch.float64) * 4
    expected = sum(
        slow_giou(a, b) for a, b in zip(*(b.tolist() for b in boxes))
    )
    loss = LegacyGIoULoss()(*boxes, avg_factor=7)
    assert loss.item() == pytest.approx(expected / 7, rel=1e-6)
    assert (boxes[0, :, 0] > boxes[0, :, 2]).any()  # corners may be swapped


def test_no_boxes_are_a_zero_with_gradient():
    boxes = torch.zeros(3, 4, requires_grad=True)
    loss = LegacyGIoULoss()(boxes[:0], torch.zeros(0, 4), avg_factor=1)
    loss.backward()
    assert loss.item() == 0 and boxes.grad.abs().sum() == 0


def test_quality_focal_loss_by_hand():
    logits = torch.zeros(1, 2)
    loss = QualityFocalLoss(use_sigmoid=True, beta=2.0)
    label, background = torch.tensor([0]), torch.tensor([2])
    negative = loss(logits, (background, torch.zeros(1)), avg_factor=1)
    assert negative.item() == pytest.approx(2 * 0.173287, abs=1e-5)
    both = loss(logits, (label, torch.tensor([0.8])), avg_factor=1)
    assert both.item() == pytest.approx(0.062383 + 0.173287, abs=1e-5)


def test_gaussian_focal_loss_by_hand():
    loss = GaussianFocalLoss(alpha=2.0, gamma=4.0)
    half = torch.tensor([0.5])
    assert loss(half, torch.ones(1)).item() == pytest.approx(
        0.173287, abs=1e-6
    )
    assert loss(half, half).item() == pytest.approx(0.010830, abs=1e-6)


def slow_separate(logits, target, weight, alpha=0.25):
    positives, negatives, weights, count = 0.0, 0.0, 0.0, 0
    for z, t, w in zip(logits, target, weight):
        p = 1 / (1 + math.exp(-z))
        if t:
            positives -= alpha * (1 - p) ** 2 * math.log(p) * w
            weights += w
            count += 1
        else:
            negatives -= (1 - alpha) * p**2 * math.log(1 - p)
    return (positives / weights if count else 0) + negatives / max(count, 1)


@pytest.mark.parametrize('positives', [7, 0])
def test_separate_focal_loss(positives):
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(50, generator=generator, dtype=torch.float64)
    weight = torch.rand(50, generator=generator, dtype=torch.float64)
    target = (torch.arange(50) < positives).double()
    loss = SeparateFocalLoss(loss_weight=0.1)(logits, target, weight)
    expected = slow_separate(*(v.tolist() for v in (logits, target, weight)))
    assert loss.item() == pytest.approx(0.1 * expected, rel=1e-9)


def test_separate_focal_loss_of_certain_logits_is_finite():
    logits = torch.tensor([-200.0, 200.0], requires_grad=True)
    loss = SeparateFocalLoss()(
        logits, torch.tensor([1.0, 0.0]), torch.tensor([0.01, 0.0])
    )
    loss.backward()
    assert loss.item() == pytest.approx(0.25 * 200 + 0.75 * 200)
    assert torch.isfinite(logits.grad).all()


def test_dice_loss_by_hand():
    mask = torch.tensor([[[1.0, 0], [1, 1]]])
    assert dice_loss(mask, mask).item() == pytest.approx(0, abs=1e-5)
    half = torch.full((1, 2, 2), 0.5)
    expected = 1 - 2 * 1.5 / (4 * 0.25 + 3 + 1e-5)
    assert dice_loss(half, mask).item() == pytest.approx(expected)
    assert dice_loss(
        torch.zeros(2, 2, 2), mask.expand(2, -1, -1)
    ).tolist() == [
        1,
        1,
    ]


def test_gradients():
    generator = torch.Generator().manual_seed(2)
    double = dict(generator=generator, dtype=torch.float64)
    boxes = torch.rand(6, 4, **double).cumsum(1).requires_grad_()
    target = torch.rand(6, 4, **double).cumsum(1)
    assert torch.autograd.gradcheck(LegacyGIoULoss(), (boxes, target))
    logits = torch.randn(8, **double).requires_grad_()
    positive = (torch.arange(8) < 3).double()
    weight = torch.rand(8, **double)
    assert torch.autograd.gradcheck(
        SeparateFocalLoss(), (logits, positive, weight)
    )
    masks = torch.rand(2, 3, 3, **double).requires_grad_()
    assert torch.autograd.gradcheck(
        dice_loss, (masks, (masks > 0.5).double().detach())
    )
