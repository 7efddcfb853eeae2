"""The Swin block: attention in windows, then a feed-forward network."""
from functools import partial
from typing import Callable, Optional

import torch
from torch import Tensor, nn

from swin_dense.layers.attention import AttentionCore
from swin_dense.layers.drop_path import DropPath
from swin_dense.layers.feedforward import FeedForward
from swin_dense.ops import (WindowMask, WindowSlots, blocks_of, crop,
                            cyclic_shift, merge_windows, pack_weights_once,
                            pad_to_multiple, partition_windows, prefers_blocks,
                            read_tokens, read_windows, window_slots)
from swin_dense.ops.grid import Grid


class SwinBlock(nn.Module):
    """Two residual branches, each with a norm (V1 paper, eq. 3).

    Args:
        dim: Channels C.
        attention: Mixer of the tokens of a window.
        feedforward: Network of single tokens.
        norm: Makes the norm for a number of channels.
        drop_path: Stochastic depth rate of both branches.
        post_norm: Whether the norm of a branch is its last step (V2 paper,
            section 3.2) instead of its first.
        extra_norm: Whether a third norm ends the block, on the main branch
            (V2 paper, section 3.2, the largest sizes).
    """

    def __init__(self,
                 dim: int,
                 attention: AttentionCore,
                 feedforward: FeedForward,
                 norm: type[nn.Module] = nn.LayerNorm,
                 drop_path: float = 0.,
                 post_norm: bool = False,
                 extra_norm: bool = False) -> None:
        super().__init__()
        self.norm1 = norm(dim)
        self.attn = attention
        self.norm2 = norm(dim)
        self.mlp = feedforward
        self.norm3 = norm(dim) if extra_norm else None
        self.drop_path = DropPath(drop_path)
        self.post_norm = post_norm

    def forward(self, x: Tensor, window: Grid, shift: Grid,
                mask: Optional[WindowMask]) -> Tensor:
        """Mix a map.

        Args:
            x: Map `(B, *grid, C)`.
            window: Window that fits the map, see `fit_window`.
            shift: Shift per axis; zeros for regular windows.
            mask: `window_mask` of this grid, window and shift.

        Returns:
            Map `(B, *grid, C)`.
        """
        bias = self.attn.position_bias(window)
        if self.training or torch.is_grad_enabled() or not prefers_blocks(x):
            mix = partial(
                self._mix_windows,
                window=window,
                shift=shift,
                bias=bias,
                mask=mask)
            x = x + self.drop_path(self._branch(mix, self.norm1, x))
            x = x + self.drop_path(self._branch(self.mlp, self.norm2, x))
            return x if self.norm3 is None else self.norm3(x)
        slots = window_slots(x.shape[:-1], window, shift)
        with pack_weights_once():
            return self._infer(x, slots, bias, mask)

    def _branch(self, function: Callable[[Tensor], Tensor], norm: nn.Module,
                x: Tensor) -> Tensor:
        """A branch: the function, after the norm or before it."""
        return norm(function(x)) if self.post_norm else function(norm(x))

    def _mix_windows(self, x: Tensor, window: Grid, shift: Grid, bias: Tensor,
                     mask: Optional[WindowMask]) -> Tensor:
        """Pad, shift, partition, attend, and back, in the official order."""
        if prefers_blocks(x):
            slots = window_slots(x.shape[:-1], window, shift)
            windows = read_windows(x.flatten(0, -2), slots)
            windows = self.attn(windows, bias, slots.sort(mask))
            return read_tokens(windows, slots).view_as(x)
        grid = x.shape[1:-1]
        x = cyclic_shift(pad_to_multiple(x, window), shift)
        padded = x.shape[1:-1]
        windows = self.attn(partition_windows(x, window), bias, mask)
        x = merge_windows(windows, window, padded)
        return crop(cyclic_shift(x, tuple(-s for s in shift)), grid)

    def _infer(self, x: Tensor, slots: WindowSlots, bias: Tensor,
               mask: Optional[WindowMask]) -> Tensor:
        """The same without gradients: all but two maps stay in the cache."""
        tokens = x.flatten(0, -2)
        windows = x.new_empty(*slots.tokens.shape, x.shape[-1])
        mask = slots.sort(mask)
        for rows in blocks_of(windows, self.attn.widest(windows)):
            block = tokens.index_select(0, slots.tokens[rows].flatten())
            if not self.post_norm:
                block = self.norm1(block)
            if slots.padding is not None:  # padding comes after the norm
                padding = slots.padding[rows].flatten().nonzero().flatten()
                block.index_fill_(0, padding, 0)
            some = None if mask is None else mask._replace(
                kinds=mask.kinds[rows])
            block = block.view_as(windows[rows])
            windows[rows] = self.attn(block, bias, some)
        windows = windows.flatten(0, 1)
        out = torch.empty_like(tokens)
        for rows in blocks_of(tokens, self.mlp.fc1.out_features):
            block = windows.index_select(0, slots.places[rows])
            if self.post_norm:
                block = self.norm1(block)
            block += tokens[rows]
            torch.add(
                block,
                self._branch(self.mlp, self.norm2, block),
                out=out[rows])
            if self.norm3 is not None:
                out[rows] = self.norm3(out[rows])
        return out.view_as(x)
