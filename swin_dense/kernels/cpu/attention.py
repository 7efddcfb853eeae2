"""Attention in windows, chunk by chunk, forward and backward."""

from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd.function import once_differentiable

from swin_dense.kernels.cpu.linear_layers import compute_dtype
from swin_dense.kernels.cpu.sums import Sums
from swin_dense.kernels.cpu.threads import share_out
from swin_dense.kernels.interface import AttentionTerms
from swin_dense.kernels.plain import attend
from swin_dense.kernels.window_index import WindowIndex
from swin_dense.ops import WindowMask


def attend_in_chunks(
    qkv: Tensor,
    index: WindowIndex,
    mask: WindowMask | None,
    terms: AttentionTerms,
) -> Tensor:
    """Attend within windows that are read from the map by index.

    Only queries, keys and values are kept for the backward pass, which
    computes the attention of each chunk anew.

    Args:
        qkv: Queries, keys and values `(B * H * W, 3 * C)`.
        index: Slots of the tokens, in chunks.
        mask: Mask of each window, or None.
        terms: Terms that all windows share, without dropout.

    Returns:
        Mixed values `(B * H * W, C)`. They cannot be differentiated twice.
    """
    return _ChunkedAttention.apply(
        qkv, terms.bias, terms.padding, terms.cosine, index, mask, terms.scale
    )


def _num_to_run(qkv: Tensor, index: WindowIndex) -> int:
    """Return the number of chunks to compute.

    A fake tensor has a shape and no memory. There the first chunk stands for
    all, which would reuse its memory.
    """
    return 1 if isinstance(qkv, FakeTensor) else len(index.chunks)


class _ChunkedAttention(torch.autograd.Function):
    """The autograd function of `attend_in_chunks`."""

    @staticmethod
    def forward(
        ctx: Any,
        qkv: Tensor,
        bias: Tensor,
        padding: Tensor | None,
        cosine: Tensor | None,
        index: WindowIndex,
        mask: WindowMask | None,
        scale: float,
    ) -> Tensor:
        dtype = compute_dtype(qkv)
        ctx.save_for_backward(qkv, bias, padding, cosine)
        ctx.settings = index, mask, scale, dtype
        tokens = bias.shape[-1]
        # Detached, so that `attend` sees tensors without gradients.
        terms = AttentionTerms(
            bias.detach(),
            None,
            scale,
            None if cosine is None else cosine.detach(),
        )
        slots = sum(len(chunk.token_of_slot) for chunk in index.chunks)
        out = qkv.new_empty(slots // tokens, tokens, qkv.shape[-1] // 3)

        def work(worker: int, number: int) -> None:
            chunk = index.chunks[number]
            windows = chunk.gather(qkv, tokens, padding).to(dtype)
            out[chunk.rows] = attend(windows, chunk.mask(mask), terms)

        share_out(work, _num_to_run(qkv, index))
        out = out.flatten(0, 1)  # (B * K * N, C)
        return out.index_select(0, index.slot_of_token)  # (B * H * W, C)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple:
        qkv, bias, padding, cosine = ctx.saved_tensors
        index, mask, scale, dtype = ctx.settings
        tokens = bias.shape[-1]
        shared = [bias] if cosine is None else [bias, cosine]
        grad_qkv = torch.empty_like(qkv)
        sums = Sums()

        def work(worker: int, number: int) -> None:
            chunk = index.chunks[number]
            windows = chunk.gather(qkv, tokens, padding).to(dtype)
            inputs = [x.detach().requires_grad_() for x in (windows, *shared)]
            terms = AttentionTerms(inputs[1], None, scale, *inputs[2:])
            with torch.enable_grad():
                out = attend(inputs[0], chunk.mask(mask), terms)
            part, *parts = torch.autograd.grad(
                out, inputs, chunk.gather(grad, tokens).to(out.dtype)
            )
            for name, value in zip(('bias', 'cosine'), parts):
                sums.add(worker, name, value)
            part = part.flatten(0, 1)  # (n * N, 3 * C)
            slots = chunk.token_of_slot
            if chunk.padding is not None:
                if padding is not None:
                    sums.add(
                        worker,
                        'padding',
                        part.index_select(0, chunk.padding).sum(0),
                    )
                part = part.index_select(0, chunk.inside)
                slots = slots.index_select(0, chunk.inside)
            # Every token has one slot, so workers write to different rows.
            grad_qkv.index_copy_(0, slots, part.to(qkv.dtype))

        share_out(work, _num_to_run(qkv, index))
        grads = (
            sums.total(name, bias.dtype)
            for name in ('bias', 'padding', 'cosine')
        )
        return grad_qkv, *grads, None, None, None
