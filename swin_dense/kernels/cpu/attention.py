"""Attention in windows, chunk by chunk, forward and backward."""
from typing import Any, Optional

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from swin_dense.kernels.cpu.window_index import WindowIndex
from swin_dense.kernels.interface import AttentionTerms
from swin_dense.kernels.plain import attend
from swin_dense.ops import WindowMask


def attend_in_chunks(qkv: Tensor, index: WindowIndex,
                     mask: Optional[WindowMask],
                     terms: AttentionTerms) -> Tensor:
    """Attend within windows that are read from the map by index.

    Only queries, keys and values are kept for the backward pass, which
    computes each chunk anew when its turn comes.

    Args:
        qkv: Queries, keys and values `(B * H * W, 3 * C)`.
        index: Where the tokens go.
        mask: What is hidden.
        terms: What all windows share; without dropout.

    Returns:
        Mixed values `(B * H * W, C)`. They cannot be differentiated twice.
    """
    return _ChunkedAttention.apply(qkv, terms.bias, terms.padding,
                                   terms.cosine, index, mask, terms.scale)


class _ChunkedAttention(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, bias: Tensor, padding: Optional[Tensor],
                cosine: Optional[Tensor], index: WindowIndex,
                mask: Optional[WindowMask], scale: float) -> Tensor:
        ctx.index, ctx.mask, ctx.scale = index, mask, scale
        ctx.save_for_backward(qkv, bias, padding, cosine)
        tokens = bias.shape[-1]
        # Detached, so that `attend` sees that no gradient is asked for.
        terms = AttentionTerms(bias.detach(), None, scale,
                               None if cosine is None else cosine.detach())
        slots = sum(len(chunk.token_of_slot) for chunk in index.chunks)
        out = qkv.new_empty(slots // tokens, tokens, qkv.shape[-1] // 3)
        for chunk in index.chunks:
            windows = chunk.gather(qkv, tokens, padding)
            out[chunk.rows] = attend(windows, chunk.mask(mask), terms)
        return out.flatten(0, 1).index_select(0, index.slot_of_token)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple:
        qkv, bias, padding, cosine = ctx.saved_tensors
        tokens = bias.shape[-1]
        shared = [bias] if cosine is None else [bias, cosine]
        shared = [tensor.detach().requires_grad_() for tensor in shared]
        grads = [torch.zeros_like(tensor) for tensor in shared]
        terms = AttentionTerms(shared[0], None, ctx.scale, *shared[1:])
        grad_padding = None if padding is None else torch.zeros_like(padding)
        grad_qkv = torch.empty_like(qkv)
        for chunk in ctx.index.chunks:
            windows = chunk.gather(qkv, tokens, padding).requires_grad_()
            with torch.enable_grad():
                out = attend(windows, chunk.mask(ctx.mask), terms)
            part, *parts = torch.autograd.grad(out, [windows, *shared],
                                               chunk.gather(grad, tokens))
            for total, new in zip(grads, parts):
                total += new
            part = part.flatten(0, 1)  # (n * N, 3 * C)
            slots = chunk.token_of_slot
            if chunk.padding is not None:
                if grad_padding is not None:
                    grad_padding += part.index_select(0, chunk.padding).sum(0)
                part = part.index_select(0, chunk.inside)
                slots = slots.index_select(0, chunk.inside)
            grad_qkv.index_copy_(0, slots, part)
        return (grad_qkv, grads[0], grad_padding,
                grads[1] if cosine is not None else None, None, None, None)
