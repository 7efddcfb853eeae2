"""The feed-forward network, chunk by chunk, forward and backward."""
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from swin_dense.kernels.cpu.chunks import iter_chunks
from swin_dense.kernels.cpu.onednn import linear_no_grad, pack_weights_once


class ChunkedGELUNetwork(torch.autograd.Function):
    """Linear, GELU, linear over chunks of tokens `(n, C)`.

    What is wider than a token lives in the cache only, except for the hidden
    values before the activation, which the backward pass starts from. The
    plain path keeps them after the activation as well and writes each
    gradient of that width to memory.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight1: Tensor, bias1: Tensor,
                weight2: Tensor, bias2: Tensor, approximate: str,
                keep: bool) -> Tensor:
        hidden = []  # one tensor for each chunk, to copy nothing
        out = torch.empty_like(x)
        with pack_weights_once():
            for rows in iter_chunks(x, len(weight1)):
                if keep:
                    hidden.append(linear_no_grad(x[rows], weight1, bias1))
                    chunk = F.gelu(hidden[-1], approximate=approximate)
                else:
                    chunk = linear_no_grad(x[rows], weight1, bias1,
                                           approximate)
                out[rows] = linear_no_grad(chunk, weight2, bias2)
        if keep:
            ctx.save_for_backward(x, weight1, weight2, *hidden)
            ctx.approximate = approximate
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple:
        x, weight1, weight2, *hidden = ctx.saved_tensors
        grad = grad.contiguous()
        grad_x = torch.empty_like(x)
        grad1, grad2 = torch.zeros_like(weight1), torch.zeros_like(weight2)
        grad_bias1 = weight1.new_zeros(len(weight1))
        with pack_weights_once():
            for rows, chunk in zip(iter_chunks(x, len(weight1)), hidden):
                active = F.gelu(chunk, approximate=ctx.approximate)
                grad2.addmm_(grad[rows].t(), active)
                wide = torch.ops.aten.gelu_backward(
                    linear_no_grad(grad[rows], weight2.t(), None),
                    chunk,
                    approximate=ctx.approximate)
                grad1.addmm_(wide.t(), x[rows])
                grad_bias1 += wide.sum(0)
                grad_x[rows] = linear_no_grad(wide, weight1.t(), None)
        return grad_x, grad1, grad_bias1, grad2, grad.sum(0), None, None
