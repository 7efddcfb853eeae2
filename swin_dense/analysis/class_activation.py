"""Class activation maps: where on a pyramid map the evidence for a score is.

Both methods multiply a map by the gradient of a score with regard to it, and
keep what speaks for the score.

- `grad-cam` (Selvaraju and others, arXiv 1610.02391): the gradient of a
  channel is averaged over the map. It shows all places that look like the
  class.
- `hires-cam` (Draelos and others, arXiv 2011.08891): the gradient of each
  place is taken, as ODAM does for detectors (Zhao and Chan, arXiv
  2304.06354). It shows the places that raise this very score.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

METHODS = ('hires-cam', 'grad-cam')


def check_method(method: str) -> None:
    """Raise an error if there is no such method.

    Raises:
        ValueError: If there is none.
    """
    if method not in METHODS:
        raise ValueError(
            f'method must be one of {", ".join(METHODS)}, got {method!r}'
        )


def activation(features: Tensor, gradient: Tensor, method: str) -> Tensor:
    """Return the class activation of each place of a map.

    Args:
        features: Map `(C, *grid)`.
        gradient: Gradient of the score with regard to the map `(C, *grid)`.
        method: One of `METHODS`.

    Returns:
        Activations `(*grid)`, 0 or more.
    """
    check_method(method)
    if method == 'grad-cam':
        axes = tuple(range(1, gradient.ndim))
        gradient = gradient.mean(axes, keepdim=True)  # (C, 1, ..., 1)
    return (features * gradient).sum(0).relu()


def activations(
    score: Tensor, pyramid: Sequence[Tensor], method: str
) -> list[Tensor]:
    """Return the class activation of a score on each map of a pyramid.

    Args:
        score: A number that depends on the maps.
        pyramid: Maps `(1, C, *grid)` that `watch_pyramid` yielded.
        method: One of `METHODS`.

    Returns:
        Activations `(*grid)` of each map; zeros for a map that the score does
        not depend on.

    Raises:
        ValueError: If the score does not depend on any map, or its gradient
            is 0 everywhere or not finite.
    """
    reason = 'does not depend on the maps of the pyramid'
    gradients: Sequence[Tensor | None] = ()
    if score.requires_grad:
        gradients = torch.autograd.grad(score, pyramid, allow_unused=True)
        reason = 'does not change with the maps: it is saturated'
    found = [entry for entry in gradients if entry is not None]
    if not any(bool(entry.any()) for entry in found):
        raise ValueError(
            f'the score {score.item():.4g} {reason}, so it has no '
            'gradient to explain'
        )
    if not all(bool(entry.isfinite().all()) for entry in found):
        raise ValueError(
            f'the gradient of the score {score.item():.4g} has NaN or '
            'infinite values'
        )
    with torch.no_grad():
        return [
            activation(features[0], gradient[0], method)
            if gradient is not None
            else torch.zeros_like(features[0, 0])
            for features, gradient in zip(pyramid, gradients)
        ]


class _KeepGraph(TorchFunctionMode):
    """Let `detach` do nothing, so that scores keep their gradient.

    Heads of one-stage detectors detach what they predict.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call a function of PyTorch."""
        if func is Tensor.detach:
            return args[0]
        if func in (Tensor.numpy, Tensor.__array__):
            args = (args[0].detach(), *args[1:])
        return func(*args, **(kwargs or {}))


@contextmanager
def watch_pyramid(model: Any) -> Iterator[list[Tensor]]:
    """Make the maps of a pyramid the start of all gradients.

    The pyramid is the output of the neck, or of the backbone if the model has
    no neck. What comes before it needs no memory for a backward pass.

    Args:
        model: A detector, segmentor or recognizer.

    Yields:
        A list that holds the maps `(B, C, *grid)` after a forward pass.
    """
    maps: list[Tensor] = []

    def restart(module: nn.Module, inputs: Any, outputs: Any) -> Any:
        """Cut the graph at the outputs, and keep them."""
        is_single = isinstance(outputs, Tensor)
        leaves = [
            entry.detach().requires_grad_()
            for entry in ([outputs] if is_single else outputs)
        ]
        maps[:] = leaves
        # A head may change its input in place, which a leaf forbids.
        copies = [leaf.clone() for leaf in leaves]
        return copies[0] if is_single else type(outputs)(copies)

    module = model.neck if model.with_neck else model.backbone
    trained = [p for p in model.parameters() if p.requires_grad]
    hook = module.register_forward_hook(restart)
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        with torch.enable_grad(), _KeepGraph():
            yield maps
    finally:
        hook.remove()
        for parameter in trained:
            parameter.requires_grad_(True)


def strongest(maps: Sequence[Tensor]) -> tuple[int, list[float]]:
    """Return the map with most activation, and the share of each map."""
    sums = [float(entry.sum()) for entry in maps]
    total = sum(sums)
    shares = [entry / total if total else 0.0 for entry in sums]
    return max(range(len(sums)), key=sums.__getitem__), shares
