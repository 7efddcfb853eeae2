"""The feed-forward network, chunk by chunk, forward and backward."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from swin_dense.kernels.cpu.linear_layers import (
    compute_dtype,
    linear_no_grad,
    output_dtype,
    pack_weights_once,
    write_linear,
)
from swin_dense.kernels.cpu.sums import Sums
from swin_dense.kernels.cpu.threads import share_out


class ChunkedGELUNetwork(torch.autograd.Function):
    """Linear, GELU, linear over chunks of tokens `(n, C)`.

    Only the hidden values before the activation are written to memory, and
    only if the backward pass needs them. The plain path also keeps the hidden
    values after the activation, and writes each gradient of that width to
    memory.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight1: Tensor,
        bias1: Tensor,
        weight2: Tensor,
        bias2: Tensor | None,
        approximate: str,
        chunks: list[slice],
        keep: bool,
    ) -> Tensor:
        dtype = compute_dtype(x)
        out = x.new_empty(x.shape, dtype=output_dtype(x))
        # One tensor for each chunk, so that none has to be copied.
        hidden = [out] * len(chunks)

        def work(worker: int, number: int) -> None:
            rows = chunks[number]
            tokens = x[rows].to(dtype)
            if keep:
                wide = linear_no_grad(tokens, weight1, bias1)
                hidden[number] = wide.to(out.dtype)
                wide = F.gelu(wide, approximate=approximate)
            else:
                wide = linear_no_grad(tokens, weight1, bias1, approximate)
            write_linear(out[rows], wide, weight2, bias2)

        with pack_weights_once():
            share_out(work, len(chunks))
        if keep:
            ctx.save_for_backward(x, weight1, weight2, *hidden)
            ctx.settings = chunks, approximate, dtype, bias2 is not None
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple:
        x, weight1, weight2, *hidden = ctx.saved_tensors
        chunks, approximate, dtype, has_bias2 = ctx.settings
        grad_x = torch.empty_like(x)
        sums = Sums()

        def work(worker: int, number: int) -> None:
            rows = chunks[number]
            grad_out = grad[rows].to(dtype)
            wide = hidden[number].to(dtype)
            sums.add_product(
                worker,
                'weight2',
                grad_out.t(),
                F.gelu(wide, approximate=approximate),
            )
            if has_bias2:
                sums.add(worker, 'bias2', grad_out.sum(0))
            wide = torch.ops.aten.gelu_backward(
                linear_no_grad(grad_out, weight2.t(), None),
                wide,
                approximate=approximate,
            )
            sums.add_product(worker, 'weight1', wide.t(), x[rows].to(dtype))
            sums.add(worker, 'bias1', wide.sum(0))
            write_linear(grad_x[rows], wide, weight1.t(), None)

        with pack_weights_once():
            share_out(work, len(chunks))
        names = ('weight1', 'bias1', 'weight2', 'bias2')
        totals = (sums.total(name, weight1.dtype) for name in names)
        return grad_x, *totals, None, None, None
