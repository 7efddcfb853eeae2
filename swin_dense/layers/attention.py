"""Self-attention inside windows with a relative position bias."""
from math import prod
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.ops import WindowMask, block_length, in_blocks, relative_index
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
                window: Grid,
                mask: Optional[WindowMask] = None) -> Tensor:
        """Attend within each window.

        Args:
            windows: Tokens `(B * K, N, C)`.
            window: Size of these windows, at most that of the table.
            mask: Masks of the K windows of a map.

        Returns:
            Tokens `(B * K, N, C)`.
        """
        bias = self.position_bias(window).to(windows.dtype)
        kinds = None
        if mask is not None:
            bias = bias + mask.masks[:, None]  # M, heads, N, N
            kinds = mask.kinds.repeat(len(windows) // len(mask.kinds))

        def attend(rows: slice) -> Tensor:
            return self._attend(windows[rows],
                                bias if kinds is None else bias[kinds[rows]])

        tokens, channels = windows.shape[1:]
        length = block_length(
            windows, tokens * (3 * channels + self.num_heads * tokens))
        if length is None:
            return attend(slice(None))
        return in_blocks(attend, torch.empty_like(windows), length)

    def _attend(self, windows: Tensor, bias: Tensor) -> Tensor:
        """Attention of some windows; the bias has or gets their axis."""
        count, tokens, channels = windows.shape
        q, k, v = self.qkv(windows).view(count, tokens, 3, self.num_heads,
                                         -1).permute(2, 0, 3, 1, 4)
        if bias.requires_grad or self.attn_drop.training and self.attn_drop.p:
            # No fused kernel returns the gradient of a bias.
            logits = (q * self.scale) @ k.transpose(-2, -1) + bias
            x = self.attn_drop(logits.softmax(-1)) @ v
        else:
            x = F.scaled_dot_product_attention(
                q, k, v, bias.expand(count, -1, -1, -1), scale=self.scale)
        x = x.transpose(1, 2).reshape(count, tokens, channels)
        return self.proj_drop(self.proj(x))
