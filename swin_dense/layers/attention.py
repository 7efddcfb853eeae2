"""Self-attention inside windows with a relative position bias."""
from functools import partial
from math import prod
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.ops import (WindowMask, cpu_linear, in_blocks, prefers_blocks,
                            relative_index)
from swin_dense.ops.grid import Grid


class WindowAttention(nn.Module):
    """Multi-head self-attention of each window (Swin V1 paper, section 3.2).

    Scaled dot products plus a learned bias per head and relative offset.
    Parameter names are those of the official checkpoints.

    Args:
        dim: Channels C.
        window_size: Window of the bias table, in tokens per axis.
        num_heads: Attention heads; must divide `dim`.
        qkv_bias: Whether queries, keys and values have a bias.
        qk_scale: Factor of the dot products; `(dim / num_heads) ** -0.5`
            where None.
        attn_drop: Dropout of the attention weights.
        proj_drop: Dropout of the output.

    Raises:
        ValueError: If `num_heads` does not divide `dim`.
    """

    def __init__(self,
                 dim: int,
                 window_size: Grid,
                 num_heads: int,
                 qkv_bias: bool = True,
                 qk_scale: Optional[float] = None,
                 attn_drop: float = 0.,
                 proj_drop: float = 0.) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(
                f'num_heads must divide the channels, got {num_heads=} for '
                f'{dim} channels')
        self.window_size = window_size
        self.num_heads = num_heads
        self.scale = qk_scale or (dim // num_heads)**-0.5
        self.relative_position_bias_table = nn.Parameter(
            torch.zeros(prod(2 * w - 1 for w in window_size), num_heads))
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.attn_drop = nn.Dropout(attn_drop)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)

    def position_bias(self, window: Grid) -> Tensor:
        """Bias `(heads, N, N)` for windows of a size up to the table's."""
        index = relative_index(window, self.window_size)
        table = self.relative_position_bias_table
        bias = table[index.flatten().to(table.device)]
        return bias.view(*index.shape, -1).permute(2, 0, 1).contiguous()

    def forward(self,
                windows: Tensor,
                bias: Tensor,
                mask: Optional[WindowMask] = None) -> Tensor:
        """Attend within each window.

        Args:
            windows: Tokens `(B * K, N, C)`.
            bias: What `position_bias` gives for these windows.
            mask: Masks of the K windows of a map.

        Returns:
            Tokens `(B * K, N, C)`.
        """
        if mask is not None:
            mask = WindowMask(
                mask.masks, mask.kinds.repeat(len(windows) // len(mask.kinds)))
        mix = partial(self._mix, mask)
        if not prefers_blocks(windows) or self._drops():
            qkv = self.qkv(windows)
            return self.proj_drop(self.proj(mix(slice(None), qkv, bias)))
        qkv = cpu_linear(windows, self.qkv.weight, self.qkv.bias)
        if torch.is_grad_enabled():
            x = in_blocks(mix, self.widest(windows), qkv, bias)
        else:
            x = mix(slice(None), qkv, bias)
        return cpu_linear(x, self.proj.weight, self.proj.bias)

    def _drops(self) -> bool:
        """Whether dropout acts, on the weights or on the output."""
        return any(drop.training and drop.p > 0
                   for drop in (self.attn_drop, self.proj_drop))

    def widest(self, windows: Tensor) -> int:
        """Elements per window of the intermediate results, see `blocks_of`."""
        tokens, channels = windows.shape[1:]
        return tokens * (3 * channels + self.num_heads * tokens)

    def _mix(self, mask: Optional[WindowMask], rows: slice, qkv: Tensor,
             bias: Tensor) -> Tensor:
        """Values `(n, N, C)` mixed by attention, for some of the windows.

        Args:
            mask: Masks of all windows.
            rows: Which windows these are.
            qkv: Queries, keys and values of these, `(n, N, 3 * C)`.
            bias: Position bias `(heads, N, N)`.
        """
        q, k, v = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in qkv.chunk(3, -1))
        bias = bias[None]
        if mask is not None:
            bias = bias + mask.masks[mask.kinds[rows], None]
        if self._drops() or torch.is_grad_enabled() and bias.requires_grad:
            # No fused kernel returns the gradient of a bias.
            logits = (q * self.scale) @ k.transpose(-2, -1) + bias
            x = self.attn_drop(logits.softmax(-1)).to(v.dtype) @ v
        else:
            x = F.scaled_dot_product_attention(
                q,
                k,
                v,
                bias.expand(len(q), -1, -1, -1).to(q.dtype),
                scale=self.scale)
        return x.transpose(1, 2).flatten(2)
