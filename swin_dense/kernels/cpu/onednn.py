"""Linear layers on the CPU, by the fastest kernel there is."""
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Iterator, Optional

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Weights in the kernel's own layout, by where they lie and how; with each the
# plain weight, so that its memory is not taken by another meanwhile.
_Packed = dict[tuple, tuple[Tensor, Tensor]]
_packed: ContextVar[Optional[_Packed]] = ContextVar('packed', default=None)


@contextmanager
def pack_weights_once() -> Iterator[None]:
    """Let `linear_no_grad` rearrange each weight once, not at each call.

    For a loop over chunks with the same weights, which must not change inside
    of it.
    """
    if _packed.get() is not None:
        yield
        return
    token = _packed.set({})
    try:
        yield
    finally:
        _packed.reset(token)


def _pack(weight: Tensor, rows: int) -> Tensor:
    """The weight as the kernel likes it, if it is to be used repeatedly."""
    packed = _packed.get()
    if packed is None:
        return weight
    key = (weight.data_ptr(), weight.shape, weight.stride())
    if key not in packed:
        packed[key] = (torch.ops.mkldnn._reorder_linear_weight(weight,
                                                               rows), weight)
    return packed[key][0]


@lru_cache(maxsize=1)
def _fused() -> Optional[torch._ops.OpOverloadPacket]:
    """oneDNN's product, bias and activation in one; None where it is not.

    It is what compiled models use on a CPU. It has no public name, so it is
    tried once before it is relied on.
    """
    try:
        operator = torch.ops.mkldnn._linear_pointwise
        weight = torch.ops.mkldnn._reorder_linear_weight(torch.zeros(2, 2), 2)
        operator(torch.zeros(2, 2), weight, torch.zeros(2), 'gelu', [], 'none')
    except (AttributeError, RuntimeError):
        return None
    return operator


def linear_no_grad(x: Tensor,
                   weight: Tensor,
                   bias: Optional[Tensor],
                   gelu: Optional[str] = None) -> Tensor:
    """Compute `x @ weight.T + bias`, then perhaps GELU, without gradients.

    Args:
        x: Input `(*, C)` on the CPU.
        weight: `(D, C)`.
        bias: `(D, )` or None.
        gelu: Approximation of the GELU, `none` or `tanh`; None for no GELU.

    Returns:
        Output `(*, D)`.
    """
    operator = _fused() if x.dtype == torch.float32 else None
    if operator is not None:
        activation = ('none', '') if gelu is None else ('gelu', gelu)
        weight = _pack(weight, x.numel() // x.shape[-1])
        return operator(x, weight, bias, activation[0], [], activation[1])
    x = F.linear(x, weight, bias)
    # In place, while the buffer is still in the cache.
    return x if gelu is None else torch.ops.aten.gelu_(x, approximate=gelu)


def linear(x: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
    """Compute `x @ weight.T + bias` for `x` on the CPU, differentiably.

    Args:
        x: Input `(*, C)`.
        weight: `(D, C)`.
        bias: `(D, )` or None.

    Returns:
        Output `(*, D)`. It cannot be differentiated twice.
    """
    return _Linear.apply(x, weight, bias)


class _Linear(torch.autograd.Function):
    """The autograd side of `linear`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor,
                bias: Optional[Tensor]) -> Tensor:
        ctx.save_for_backward(x, weight)
        return linear_no_grad(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple:
        x, weight = ctx.saved_tensors
        need_x, need_weight, need_bias = ctx.needs_input_grad
        rows = grad.flatten(0, -2)
        return (linear_no_grad(grad, weight.t(), None) if need_x else None,
                rows.t() @ x.flatten(0, -2) if need_weight else None,
                rows.sum(0) if need_bias else None)
