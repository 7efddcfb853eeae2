"""Linear layers on the CPU, with oneDNN's fused kernel where it is faster."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from swin_dense.kernels.cpu.chunks import cut_large
from swin_dense.kernels.cpu.sums import Sums
from swin_dense.kernels.cpu.threads import share_out

# Multiplications with a weight from which on its rearrangement pays: it takes
# 0.1 ms and more, and makes products 2 to 8 % faster.
WORTH_PACKING = 2**27


@dataclass
class _Packed:
    """A weight as the kernel takes it.

    The plain weight is kept so that its memory is not reused for another
    tensor, which would have the same key.
    """

    plain: Tensor
    prepared: Tensor
    multiplications: int = 0


# By the plain weight's address, shape, stride and type to compute in.
_packed: ContextVar[dict[tuple, _Packed] | None] = ContextVar(
    'packed', default=None
)


@contextmanager
def pack_weights_once() -> Iterator[None]:
    """Let `linear_no_grad` pack a weight once, if enough is computed with it.

    The context is for a loop over chunks with the same weights. The weights
    must not change inside the context.
    """
    if _packed.get() is not None:
        yield
        return
    token = _packed.set({})
    try:
        yield
    finally:
        _packed.reset(token)


def compute_dtype(x: Tensor) -> torch.dtype:
    """Return the type that products of a map are computed in.

    Under autocast that is autocast's type if the processor multiplies that
    type in hardware. Otherwise float32 is ten times faster and no less exact.
    """
    if not torch.is_autocast_enabled('cpu'):
        return x.dtype
    dtype = torch.get_autocast_dtype('cpu')
    if dtype == torch.bfloat16 and _multiplies_bfloat16():
        return dtype
    return torch.float32


def output_dtype(x: Tensor) -> torch.dtype:
    """Return the type of the result of a linear layer on a map."""
    if torch.is_autocast_enabled('cpu'):
        return torch.get_autocast_dtype('cpu')
    return x.dtype


@lru_cache(maxsize=1)
def _multiplies_bfloat16() -> bool:
    return bool(
        torch.cpu._is_avx512_bf16_supported()
        or torch.cpu._is_amx_tile_supported()
    )


@lru_cache(maxsize=1)
def _prefers_onednn() -> bool:
    """Return True if oneDNN's fused linear layer exists and is faster.

    Compiled models use this operator on a CPU. It has no public name, so it
    is tried once. Without AVX-512 a BLAS product followed by GELU is faster.
    """
    if 'AVX512' not in torch.backends.cpu.get_cpu_capability():
        return False
    try:
        operator = torch.ops.mkldnn._linear_pointwise
        weight = torch.ops.mkldnn._reorder_linear_weight(torch.zeros(2, 2), 2)
        operator(torch.zeros(2, 2), weight, torch.zeros(2), 'gelu', [], 'none')
    except (AttributeError, RuntimeError):
        return False
    return True


def _pack(
    weight: Tensor, rows: int, dtype: torch.dtype, reorder: bool
) -> Tensor:
    """Return a weight in the type and layout that the kernel takes.

    Args:
        weight: `(D, C)`.
        rows: Number of tokens that are multiplied with the weight.
        dtype: Type to compute in.
        reorder: True for the layout of oneDNN, where that pays.
    """
    packed = _packed.get()
    if packed is None:
        return weight.to(dtype)
    key = (weight.data_ptr(), weight.shape, weight.stride(), dtype)
    if key not in packed:
        packed[key] = _Packed(weight, weight.to(dtype))
    entry = packed[key]
    prepared = entry.prepared  # another thread may replace it
    if reorder and not prepared.is_mkldnn:
        entry.multiplications += rows * weight.numel()
        if entry.multiplications >= WORTH_PACKING:
            prepared = torch.ops.mkldnn._reorder_linear_weight(prepared, rows)
            entry.prepared = prepared
    return prepared


def linear_no_grad(
    x: Tensor, weight: Tensor, bias: Tensor | None, gelu: str | None = None
) -> Tensor:
    """Return `x @ weight.T + bias`, or its GELU, without gradients.

    Args:
        x: Tokens `(*, C)` on the CPU, of the type to compute in.
        weight: `(D, C)`.
        bias: `(D, )` or None.
        gelu: Approximation of the GELU, `none` or `tanh`; None for no GELU.

    Returns:
        Tokens `(*, D)` of the type of `x`.
    """
    fuses = x.dtype == torch.float32 and _prefers_onednn()
    rows = x.numel() // x.shape[-1]
    weight = _pack(weight, rows, x.dtype, fuses)
    bias = None if bias is None else bias.to(x.dtype)
    if fuses:
        activation = ('none', '') if gelu is None else ('gelu', gelu)
        return torch.ops.mkldnn._linear_pointwise(
            x, weight, bias, activation[0], [], activation[1]
        )
    y = torch.nn.functional.linear(x, weight, bias)
    # In place, while the chunk is still in the cache.
    return y if gelu is None else torch.ops.aten.gelu_(y, approximate=gelu)


def write_linear(
    out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None
) -> None:
    """Write `x @ weight.T + bias` into rows of a larger tensor.

    Args:
        out: Rows to write to, `(n, D)`, of any floating type.
        x: Tokens `(n, C)`, of the type to compute in.
        weight: `(D, C)`.
        bias: `(D, )` or None.
    """
    if out.dtype != x.dtype or _prefers_onednn():
        out.copy_(linear_no_grad(x, weight, bias))
        return
    weight = _pack(weight, len(x), x.dtype, False)
    if bias is None:
        torch.mm(x, weight.t(), out=out)
    else:
        torch.addmm(bias.to(x.dtype), x, weight.t(), out=out)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return `x @ weight.T + bias` for `x` on the CPU, with gradients.

    Args:
        x: Tokens `(*, C)`.
        weight: `(D, C)`.
        bias: `(D, )` or None.

    Returns:
        Tokens `(*, D)`. They cannot be differentiated twice.
    """
    return _Linear.apply(x, weight, bias)


class _Linear(torch.autograd.Function):
    """The autograd function of `linear`, chunk by chunk."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.dtype = dtype = compute_dtype(x)
        tokens = x.flatten(0, -2)  # (T, C)
        ctx.chunks = chunks = cut_large(len(tokens), max(weight.shape), dtype)
        out = tokens.new_empty(len(tokens), len(weight), dtype=output_dtype(x))

        def work(worker: int, number: int) -> None:
            rows = chunks[number]
            write_linear(out[rows], tokens[rows].to(dtype), weight, bias)

        with pack_weights_once():
            share_out(work, len(chunks))
        return out.view(*x.shape[:-1], -1)  # (*, D)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple:
        x, weight = ctx.saved_tensors
        need_x, need_weight, need_bias = ctx.needs_input_grad
        dtype, chunks = ctx.dtype, ctx.chunks
        tokens = x.flatten(0, -2)  # (T, C)
        grad = grad.flatten(0, -2)  # (T, D)
        grad_x = torch.empty_like(tokens) if need_x else None
        sums = Sums()

        def work(worker: int, number: int) -> None:
            rows = chunks[number]
            part = grad[rows].to(dtype)
            if grad_x is not None:
                write_linear(grad_x[rows], part, weight.t(), None)
            if need_weight:
                sums.add_product(
                    worker, 'weight', part.t(), tokens[rows].to(dtype)
                )
            if need_bias:
                sums.add(worker, 'bias', part.sum(0))

        with pack_weights_once():
            share_out(work, len(chunks))
        return (
            None if grad_x is None else grad_x.view_as(x),
            sums.total('weight', weight.dtype),
            sums.total('bias', weight.dtype),
        )
