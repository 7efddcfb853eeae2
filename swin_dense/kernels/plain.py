"""The reference kernels: plain PyTorch, on any device, for any tracer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from swin_dense.kernels.interface import AttentionTerms, Kernels, MixFunction
from swin_dense.ops import (
    WindowLayout,
    WindowMask,
    cut_windows,
    join_windows,
    window_mask,
)

# Vectors shorter than this are divided by it, so they do not become unit
# vectors. In float16, whose smallest normal number is 6e-5, shorter vectors
# have no direction; and the gradient of the normalisation is up to one over
# this number.
MIN_LENGTH = 1e-4
# Bytes of the attention weights of the windows that sequential attention
# computes at a time: the size of a CPU's cache, and enough to occupy a GPU.
CPU_CHUNK_BYTES = 8 * 2**20
DEVICE_CHUNK_BYTES = 256 * 2**20


class PlainKernels(Kernels):
    """Pad, roll, partition, attend, and back, as the papers say."""

    name = 'plain'
    can_be_compiled = True

    @classmethod
    def refuses(cls, x: Tensor) -> str | None:
        """Return None, since these kernels work on every tensor."""
        return None

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Compute `x @ weight.T + bias`."""
        return F.linear(x, weight, bias)

    def feed_forward(
        self, x: Tensor, fc1: nn.Linear, fc2: nn.Linear, approximate: str
    ) -> Tensor:
        """Run linear, GELU, linear."""
        return fc2(F.gelu(fc1(x), approximate=approximate))

    def mix_windows(
        self, x: Tensor, layout: WindowLayout, mix: MixFunction
    ) -> Tensor:
        """Mix all windows at once."""
        mask = self._mask(x, layout, x.dtype)
        windows = cut_windows(x, layout)  # (B * K, N, C)
        windows = mix(windows, None if mask is None else mask.for_windows())
        return join_windows(windows, layout, len(x))  # (B, *grid, C)

    def window_attention(
        self, qkv: Tensor, layout: WindowLayout, terms: AttentionTerms
    ) -> Tensor:
        """Attend within windows of the padded and shifted maps."""
        mask = self._mask(qkv, layout, terms.bias.dtype)
        padding = (
            None if terms.padding is None else terms.padding.to(qkv.dtype)
        )
        batch = len(qkv)
        qkv = cut_windows(qkv, layout, padding)  # (B * K, N, 3 * C)
        if terms.sequential:
            x = _attend_sequentially(qkv, mask, terms)
        else:
            x = attend(
                qkv, None if mask is None else mask.for_windows(), terms
            )
        return join_windows(x, layout, batch)  # (B, *grid, C)

    def _mask(
        self, x: Tensor, layout: WindowLayout, dtype: torch.dtype
    ) -> WindowMask | None:
        return self.cache.get(
            window_mask, layout, len(x), dtype, device=x.device
        )


def attend(qkv: Tensor, mask: Tensor | None, terms: AttentionTerms) -> Tensor:
    """Attend within windows.

    Args:
        qkv: Queries, keys and values `(n, N, 3 * C)`.
        mask: Added to the logits, `(n or 1, N, N)` or None.
        terms: Tensors and settings that all windows share.

    Returns:
        Mixed values `(n, N, C)`.
    """
    windows, tokens, channels = qkv.shape
    heads = len(terms.bias)
    q, k, v = _split_heads(qkv, terms)  # (n, h, N, D)
    bias = _logit_bias(mask, terms)  # (n or 1, h, N, N)
    if terms.dropout or torch.is_grad_enabled() and bias.requires_grad:
        # No fused kernel of a CPU returns the gradient of a bias.
        weights = F.dropout(_softmax(q, k, bias, terms), terms.dropout)
        x = weights.to(v.dtype) @ v  # (n, h, N, D)
    else:
        # (n, h, N, N)
        bias = bias.expand(windows, heads, tokens, tokens).to(q.dtype)
        x = F.scaled_dot_product_attention(q, k, v, bias, scale=terms.scale)
    x = x.transpose(1, 2)  # (n, N, h, D)
    return x.reshape(windows, tokens, channels // 3)  # (n, N, C)


def attention_weights(
    qkv: Tensor, mask: Tensor | None, terms: AttentionTerms
) -> Tensor:
    """Return the weights with which `attend` mixes values, without dropout.

    Args:
        qkv: Queries, keys and values `(n, N, 3 * C)`.
        mask: Added to the logits, `(n or 1, N, N)` or None.
        terms: Tensors and settings that all windows share.

    Returns:
        Weights `(n, heads, N, N)`; the weights of a query (row) add up to 1.
    """
    q, k, _ = _split_heads(qkv, terms)  # (n, h, N, D)
    return _softmax(q, k, _logit_bias(mask, terms), terms)


def _split_heads(
    qkv: Tensor, terms: AttentionTerms
) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values of each head, `(n, h, N, D)` each.

    For cosine attention, queries and keys are normalised and scaled.
    """
    windows, tokens, channels = qkv.shape
    heads = len(terms.bias)
    # (n, N, 3 * h, D)
    qkv = qkv.view(windows, tokens, 3 * heads, channels // (3 * heads))
    qk, v = qkv.transpose(1, 2).split([2 * heads, heads], 1)  # (n, h, N, D)
    if terms.cosine is not None:
        qk = _scaled_directions(qk, terms.cosine)
    q, k = qk.chunk(2, 1)  # (n, h, N, D)
    return q, k, v


def _logit_bias(mask: Tensor | None, terms: AttentionTerms) -> Tensor:
    """Return position bias plus mask, `(n or 1, h, N, N)`."""
    bias = terms.bias[None]  # (1, h, N, N)
    return bias if mask is None else bias + mask[:, None]


def _softmax(
    q: Tensor, k: Tensor, bias: Tensor, terms: AttentionTerms
) -> Tensor:
    """Return the attention weights `(n, h, N, N)`."""
    logits = (q * terms.scale) @ k.mT + bias  # (n, h, N, N)
    return logits.softmax(-1)


def _scaled_directions(qk: Tensor, cosine: Tensor) -> Tensor:
    """Scale queries and keys `(n, 2 * heads, N, D)` for cosine attention.

    Returns:
        Queries with the factor of the cosines as length, and keys of length 1.
    """
    # The square of a short float16 vector is 0, that of a long one infinite.
    wide = qk.to(torch.promote_types(qk.dtype, torch.float32))
    length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
    lengths = torch.cat([cosine, torch.ones_like(cosine)])  # (2 * heads, 1, 1)
    # One product normalises and scales.
    return (wide * (lengths / length.clamp(min=MIN_LENGTH))).to(qk.dtype)


def _attend_sequentially(
    qkv: Tensor, mask: WindowMask | None, terms: AttentionTerms
) -> Tensor:
    """Attend within a few windows at a time, keeping no attention weights."""
    windows, tokens, _ = qkv.shape
    limit = CPU_CHUNK_BYTES if qkv.device.type == 'cpu' else DEVICE_CHUNK_BYTES
    size = len(terms.bias) * tokens**2 * qkv.element_size()  # of a window
    length = max(1, limit // size)
    parts = []
    for start in range(0, windows, length):
        rows = slice(start, min(start + length, windows))
        parts.append(
            checkpoint(
                attend,
                qkv[rows],
                None if mask is None else mask.for_windows(rows),
                terms,
                use_reentrant=False,
                preserve_rng_state=False,
            )
        )
    return torch.cat(parts)  # (B * K, N, C)


KERNELS = PlainKernels
