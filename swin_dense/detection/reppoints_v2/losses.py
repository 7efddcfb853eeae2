"""Losses of RepPoints V2 that the hosts do not have.

Dimension key: N boxes.
"""

import torch
import torch.nn.functional as F
from mmdet.models.losses.utils import weighted_loss
from torch import Tensor, nn

from swin_dense.registry import MODELS


@weighted_loss
def legacy_giou_loss(pred: Tensor, target: Tensor, eps: float) -> Tensor:
    """Compute 1 - GIoU of boxes whose sides include both end pixels.

    Args:
        pred: Boxes (N, 4), x1, y1, x2, y2.
        target: As `pred`.
        eps: Added to the union and to the enclosing area.

    Returns:
        (N,).
    """
    overlap = _sides(
        torch.maximum(pred[:, :2], target[:, :2]),
        torch.minimum(pred[:, 2:], target[:, 2:]),
    ).clamp(min=0)
    enclosing = _sides(
        torch.minimum(pred[:, :2], target[:, :2]),
        torch.maximum(pred[:, 2:], target[:, 2:]),
    ).clamp(min=0)
    overlap, enclosing = overlap.prod(1), enclosing.prod(1)
    areas = [_sides(box[:, :2], box[:, 2:]).prod(1) for box in (pred, target)]
    union = areas[0] + areas[1] - overlap + eps
    enclosing = enclosing + eps
    return 1 - (overlap / union - (enclosing - union) / enclosing)


def _sides(first: Tensor, last: Tensor) -> Tensor:
    """Return width and height (N, 2) from pixel to pixel, both included."""
    return last - first + 1


@MODELS.register_module()
class LegacyGIoULoss(nn.Module):
    """Generalised IoU loss of boxes whose last pixel is inside.

    A side from x1 to x2 has x2 - x1 + 1 pixels, as in detectors from before
    2020; in mmdet's GIoULoss it has x2 - x1. RepPoints V2 was trained with
    this loss on boxes divided by four times their stride, where the added 1 is
    about as large as the box.

    Args:
        eps: Added to the union and to the enclosing area.
        loss_weight: Factor of the loss.
    """

    def __init__(self, eps: float = 1e-6, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.eps = eps
        self.loss_weight = loss_weight

    def forward(
        self, pred: Tensor, target: Tensor, avg_factor: float | None = None
    ) -> Tensor:
        """Return the loss of pairs of boxes.

        Args:
            pred: Boxes (N, 4), x1, y1, x2, y2.
            target: As `pred`.
            avg_factor: Divisor of the sum; N by default.
        """
        return self.loss_weight * legacy_giou_loss(
            pred, target, eps=self.eps, avg_factor=avg_factor
        )


@MODELS.register_module()
class SeparateFocalLoss(nn.Module):
    """Focal loss with separate divisors for positives and negatives.

    RepPoints V2 (arXiv 2007.08508) trains its foreground map with this loss.
    The loss of positives is a weighted mean; the loss of negatives is divided
    by the number of positives, or by 1 without positives (where the released
    code divides by 0).

    Args:
        gamma: Exponent that reduces the loss of easy examples.
        alpha: Factor of positives; negatives have the factor 1 - alpha.
        loss_weight: Factor of the loss.
    """

    def __init__(
        self, gamma: float = 2.0, alpha: float = 0.25, loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        self.gamma = gamma
        self.alpha = alpha
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the total loss of all points.

        Args:
            pred: Logits, of any shape.
            target: 1 for positives, 0 for negatives, in the shape of `pred`.
            weight: Weight of each positive, in the shape of `pred`.
        """
        probability = pred.sigmoid()
        positive = (target > 0).to(pred.dtype)
        weight = weight * positive
        of_positives = (
            -self.alpha
            * (1 - probability).pow(self.gamma)
            * F.logsigmoid(pred)
            * weight
        ).sum() / _nonzero(weight.sum())
        of_negatives = (
            -(1 - self.alpha)
            * probability.pow(self.gamma)
            * F.logsigmoid(-pred)
            * (1 - positive)
        ).sum() / positive.sum().clamp(min=1)
        return self.loss_weight * (of_positives + of_negatives)


def _nonzero(total: Tensor) -> Tensor:
    """Return a sum of weights, or 1 if it is 0."""
    return torch.where(total > 0, total, torch.ones_like(total))
