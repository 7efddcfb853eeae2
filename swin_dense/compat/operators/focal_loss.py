"""Focal loss (https://arxiv.org/abs/1708.02002) per element, and gradients.

Dimension key: N samples, K classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from swin_dense.compat.operators.sampling import compute_dtype

# What the softmax is kept from zero by before the logarithm, in every type.
TINY = torch.finfo(torch.float32).tiny


def sigmoid_forward(
    logits: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float
) -> Tensor:
    """Return the loss of every class as a question of its own.

    Args:
        logits: (N, K).
        target: Class of each sample, (N,); one outside 0 .. K - 1 is
            background, where no class is right.
        weight: Factor of the samples of a class, (K,), or empty. Background
            has factor 1.

    Returns:
        (N, K).
    """
    sign, share = _sigmoid_terms(logits, target, weight, alpha)
    margin = sign * logits
    return -share * (-margin).sigmoid() ** gamma * F.logsigmoid(margin)


def sigmoid_backward(
    logits: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float
) -> Tensor:
    """Return the derivative of `sigmoid_forward` in each logit, (N, K)."""
    sign, share = _sigmoid_terms(logits, target, weight, alpha)
    margin = sign * logits
    miss = (-margin).sigmoid()
    slope = gamma * margin.sigmoid() * F.logsigmoid(margin) - miss
    return sign * share * miss**gamma * slope


def softmax_forward(
    probability: Tensor,
    target: Tensor,
    weight: Tensor,
    gamma: float,
    alpha: float,
) -> Tensor:
    """Return the loss of every sample.

    Args:
        probability: Softmax of the logits, (N, K).
        target: Class of each sample, (N,); negative ones have no loss.
        weight: Factor of the samples of a class, (K,), or empty.

    Returns:
        (N,).
    """
    p, scale = _softmax_terms(probability, target, weight)
    return -alpha * (1 - p) ** gamma * _log(p) * scale


def softmax_backward(
    probability: Tensor,
    target: Tensor,
    weight: Tensor,
    gamma: float,
    alpha: float,
) -> tuple[Tensor, Tensor]:
    """Return what the gradient of `softmax_forward` is made of.

    Returns:
        Derivative in the logarithm of the right probability, (N,), and
        derivative in each logit, (N, K).
    """
    p, scale = _softmax_terms(probability, target, weight)
    focus = gamma * (1 - p) ** (gamma - 1) * p * _log(p) - (1 - p) ** gamma
    slope = alpha * focus * scale
    right = _one_hot(probability, target)
    return slope, slope[:, None] * (right.to(slope) - probability)


def _sigmoid_terms(
    logits: Tensor, target: Tensor, weight: Tensor, alpha: float
) -> tuple[Tensor, Tensor]:
    """Return 1 or -1 for the right answer, and the factor, (N, K) each.

    The sign turns a logit into the margin by which the answer is right. From
    it both logarithms follow without cancellation; the compiled operator
    subtracts a probability from 1 and loses the digits of sure answers.
    """
    right = _one_hot(logits, target)
    sign = (right * 2 - 1).to(compute_dtype(logits))
    share = sign.new_tensor([1 - alpha, alpha])[right.long()]
    return sign, share * _scale(sign, target, weight)[:, None]


def _softmax_terms(
    probability: Tensor, target: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the probability of the right class and the factor, (N,) each."""
    probability = probability.to(compute_dtype(probability))
    right = probability.gather(1, target.clamp(min=0)[:, None])[:, 0]
    scale = _scale(probability, target, weight)
    return right, scale * (target >= 0)


def _one_hot(like: Tensor, target: Tensor) -> Tensor:
    classes = torch.arange(like.size(1), device=like.device)
    return target[:, None] == classes


def _scale(like: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    scale = like.new_ones(len(target))
    if weight.numel():
        known = (target >= 0) & (target < len(weight))
        scale[known] = weight.to(like)[target[known]]
    return scale


def _log(probability: Tensor) -> Tensor:
    return probability.clamp(min=TINY).log()
