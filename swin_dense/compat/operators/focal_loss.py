"""Focal loss (https://arxiv.org/abs/1708.02002) per element, with gradients.

Dimension key: N samples, K classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from swin_dense.compat.operators.sampling import compute_dtype

# Lower bound of the softmax before the logarithm, for every type.
TINY = torch.finfo(torch.float32).tiny


def sigmoid_forward(
    logits: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float
) -> Tensor:
    """Return the binary loss of every logit.

    Args:
        logits: (N, K).
        target: Class of each sample, (N,). A number outside 0 .. K - 1 is
            background, which is a negative of every class.
        weight: Factor of the samples of each class, (K,), or empty for 1.
            Background has factor 1.
        gamma: Exponent that reduces the loss of sure answers.
        alpha: Factor of positives; negatives have factor 1 - alpha.

    Returns:
        (N, K).
    """
    sign, factor = _sigmoid_terms(logits, target, weight, alpha)
    margin = sign * logits
    return -factor * (-margin).sigmoid() ** gamma * F.logsigmoid(margin)


def sigmoid_backward(
    logits: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float
) -> Tensor:
    """Return the derivative of `sigmoid_forward` in each logit, (N, K)."""
    sign, factor = _sigmoid_terms(logits, target, weight, alpha)
    margin = sign * logits
    miss = (-margin).sigmoid()
    slope = gamma * margin.sigmoid() * F.logsigmoid(margin) - miss
    return sign * factor * miss**gamma * slope


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
        target: Class of each sample, (N,). A negative number gives no loss.
        weight: Factor of the samples of each class, (K,), or empty for 1.
        gamma: Exponent that reduces the loss of sure answers.
        alpha: Factor of the loss.

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
    """Return the derivatives of `softmax_forward`.

    Returns:
        Derivative in the logarithm of the target's probability, (N,), and
        derivative in each logit, (N, K).
    """
    p, scale = _softmax_terms(probability, target, weight)
    focus = gamma * (1 - p) ** (gamma - 1) * p * _log(p) - (1 - p) ** gamma
    slope = alpha * focus * scale
    is_target = _one_hot(probability, target)
    return slope, slope[:, None] * (is_target.to(slope) - probability)


def _sigmoid_terms(
    logits: Tensor, target: Tensor, weight: Tensor, alpha: float
) -> tuple[Tensor, Tensor]:
    """Return the sign of each logit's margin, and its factor, (N, K) each.

    The sign is 1 for the target class and -1 for the others. Sign times logit
    is the margin, and the logarithms of both probabilities follow from the
    margin without cancellation. The compiled operator subtracts a probability
    from 1 and loses the digits of sure answers.
    """
    is_target = _one_hot(logits, target)
    sign = (is_target * 2 - 1).to(compute_dtype(logits))
    factor = sign.new_tensor([1 - alpha, alpha])[is_target.long()]
    return sign, factor * _scale(sign, target, weight)[:, None]


def _softmax_terms(
    probability: Tensor, target: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the probability of the target and the factor, (N,) each."""
    probability = probability.to(compute_dtype(probability))
    p = probability.gather(1, target.clamp(min=0)[:, None])[:, 0]  # (N,)
    scale = _scale(probability, target, weight)
    return p, scale * (target >= 0)


def _one_hot(like: Tensor, target: Tensor) -> Tensor:
    """Return True at the target of each sample, (N, K) as `like`."""
    classes = torch.arange(like.size(1), device=like.device)
    return target[:, None] == classes


def _scale(like: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the factor of each sample, (N,), 1 for background."""
    scale = like.new_ones(len(target))
    if weight.numel():
        is_class = (target >= 0) & (target < len(weight))
        scale[is_class] = weight.to(like)[target[is_class]]
    return scale


def _log(probability: Tensor) -> Tensor:
    """Return the logarithm, finite at 0."""
    return probability.clamp(min=TINY).log()
