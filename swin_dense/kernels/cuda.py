"""Kernels for a GPU without a compiler: PyTorch's memory-efficient attention.

Windows are read from the map and written back by index, which takes one pass
in place of padding, shift and partition.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.attention import SDPBackend, sdpa_kernel

from swin_dense.kernels.interface import AttentionTerms
from swin_dense.kernels.plain import (
    DEVICE_CHUNK_BYTES,
    MIN_LENGTH,
    PlainKernels,
)
from swin_dense.kernels.window_index import (
    WindowIndex,
    gather_windows,
    make_window_index,
    scatter_windows,
)
from swin_dense.ops import (
    WindowLayout,
    WindowMask,
    is_traced,
    window_mask,
)

# Flash attention is not among them, since it takes no bias. The attention of
# cuDNN returns no gradient of the bias, and makes a plan for each number of
# windows. The second backend takes inputs that the first one refuses, such as
# heads of 44 channels.
BACKENDS = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
# Largest number of blocks of a CUDA grid along the axis of windows.
MAX_WINDOWS = 65535


class CUDAKernels(PlainKernels):
    """Attention in a few calls of a fused kernel, in training too."""

    name = 'cuda'
    device = 'cuda'
    can_be_compiled = False

    @classmethod
    def refuses(cls, x: Tensor) -> str | None:
        """Return None, since these kernels work on every tensor."""
        return None

    def window_attention(
        self, qkv: Tensor, layout: WindowLayout, terms: AttentionTerms
    ) -> Tensor:
        """Attend within windows that are read by index."""
        if terms.dropout or is_traced():
            return super().window_attention(qkv, layout, terms)
        plan = self.cache.get(
            make_attention_plan,
            layout,
            len(qkv),
            qkv.dtype,
            device=qkv.device,
        )
        tokens = terms.bias.shape[-1]
        windows = gather_windows(
            qkv.flatten(0, -2), plan.window_index, tokens, terms.padding
        )  # (B * K, N, 3 * C)
        x = _attend(windows, plan, terms)
        x = scatter_windows(x, plan.window_index)  # (B * H * W, C)
        return x.view(*qkv.shape[:-1], -1)  # (B, *grid, C)


class AttentionPlan(NamedTuple):
    """Windows in runs: consecutive windows that all have masks, or none.

    Attributes:
        window_index: Slots of the tokens.
        lengths: Number of windows of each run.
        masks: Masks of the windows of each run; None without hidden tokens.
    """

    window_index: WindowIndex
    lengths: tuple[int, ...]
    masks: tuple[WindowMask | None, ...]


def make_attention_plan(
    layout: WindowLayout, batch: int, dtype: torch.dtype
) -> AttentionPlan:
    """Plan the attention of a batch of maps.

    Args:
        layout: Position of the windows of a map, and hidden tokens.
        batch: Number of maps B.
        dtype: Type of the masks.
    """
    index = make_window_index(layout, batch)
    mask = window_mask(layout, batch, dtype)
    mask_index = index.chunks[0].mask_index
    count = batch * layout.num_windows
    if mask is None or mask_index is None:
        return AttentionPlan(index, (count,), (None,))
    masks = _pad_rows(mask.masks)
    mask_index = mask_index.expand(count)  # (B * K, )
    hides = masks.flatten(1).any(1)[mask_index]  # (B * K, )
    runs, counts = hides.unique_consecutive(return_counts=True)
    lengths = tuple(counts.tolist())
    runs_of_masks = mask_index.split(lengths)
    return AttentionPlan(
        index,
        lengths,
        tuple(
            WindowMask(masks, runs_of_masks[run]) if is_hidden else None
            for run, is_hidden in enumerate(runs.tolist())
        ),
    )


def _pad_rows(bias: Tensor) -> Tensor:
    """Lengthen rows to a multiple of 8, as the fused kernel takes them."""
    return F.pad(bias, (0, -bias.shape[-1] % 8))  # (..., N, N or more)


def _attend(
    windows: Tensor, plan: AttentionPlan, terms: AttentionTerms
) -> Tensor:
    """Attend within windows `(n, N, 3 * C)`; return `(n, N, C)`.

    A bias that all windows of a run share is not copied for each window.
    """
    count, tokens, channels = windows.shape
    heads = len(terms.bias)
    # (n, N, 3 * h, D)
    windows = windows.view(count, tokens, 3 * heads, channels // (3 * heads))
    qk, v = windows.split([2 * heads, heads], 2)  # (n, N, h, D)
    if terms.cosine is not None:
        lengths = torch.cat([terms.cosine, torch.ones_like(terms.cosine)])
        qk = _ScaledDirections.apply(qk, lengths.flatten(1))  # (2 * h, 1)
    q, k = qk.chunk(2, 2)  # (n, N, h, D)
    bias = _pad_rows(terms.bias.to(v.dtype))[None]  # (1, h, N, N or more)
    longest = MAX_WINDOWS
    if torch.is_grad_enabled() and bias.requires_grad:
        # The gradient of the bias has a copy for each window.
        size = heads * tokens * (tokens + -tokens % 16) * v.element_size()
        longest = max(1, min(longest, DEVICE_CHUNK_BYTES // size))
    chunks = [
        (slice(start, min(start + longest, length)), mask)
        for length, mask in zip(plan.lengths, plan.masks)
        for start in range(0, length, longest)
    ]
    sizes = [rows.stop - rows.start for rows, _ in chunks]
    parts = []
    with sdpa_kernel(BACKENDS):
        for (rows, mask), *qkv in zip(
            chunks, q.split(sizes), k.split(sizes), v.split(sizes)
        ):
            added = bias
            if mask is not None:
                added = bias + mask.for_windows(rows)[:, None]
            added = added[..., :tokens]  # (1 or n, h, N, N)
            queries, keys, values = (part.transpose(1, 2) for part in qkv)
            x = F.scaled_dot_product_attention(
                queries,
                keys,
                values,
                added.expand(len(queries), heads, tokens, tokens),
                scale=terms.scale,
            )  # (n, h, N, D)
            parts.append(x.transpose(1, 2))  # (n, N, h, D)
    x = parts[0] if len(parts) == 1 else torch.cat(parts)
    return x.reshape(count, tokens, channels // 3)  # (n, N, C)


class _ScaledDirections(torch.autograd.Function):
    """Scale vectors to given lengths, without a float32 copy in memory.

    The factor of each vector is float32, and only products are rounded.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, lengths: Tensor) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=wide)
        ctx.save_for_backward(x, lengths, length)
        return _multiply(x, lengths / length.clamp(min=MIN_LENGTH))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple:
        x, lengths, length = ctx.saved_tensors
        short = length < MIN_LENGTH
        length = length.clamp(min=MIN_LENGTH)
        wide = grad.new_empty(grad.shape, dtype=length.dtype)
        along = torch.mul(grad, x, out=wide).sum(-1, keepdim=True) / length
        grad_lengths = along.sum((0, 1))  # (2 * h, 1)
        # A change along the vector does not change its direction.
        turn = torch.addcmul(
            grad, x, along.masked_fill(short, 0.0) / length, value=-1
        )
        return _multiply(turn, lengths / length), grad_lengths


def _multiply(x: Tensor, factor: Tensor) -> Tensor:
    """Return a product of float32 in the type of `x`, rounded once."""
    return torch.mul(x, factor, out=torch.empty_like(x))


KERNELS = CUDAKernels
