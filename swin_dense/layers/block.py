"""The Swin block: attention in windows, then a feed-forward network."""
from typing import Optional

from torch import Tensor, nn

from swin_dense.layers.attention import WindowAttention
from swin_dense.layers.drop_path import DropPath
from swin_dense.layers.feedforward import FeedForward
from swin_dense.ops import (WindowMask, crop, cyclic_shift, merge_windows,
                            pad_to_multiple, partition_windows)
from swin_dense.ops.grid import Grid


class SwinBlock(nn.Module):
    """Two residual branches with the norm before each (V1 paper, eq. 3).

    Args:
        dim: Channels C.
        attention: Mixer of the tokens of a window.
        feedforward: Network of single tokens.
        norm: Makes the norm for a number of channels.
        drop_path: Stochastic depth rate of both branches.
    """

    def __init__(self,
                 dim: int,
                 attention: WindowAttention,
                 feedforward: FeedForward,
                 norm: type[nn.Module] = nn.LayerNorm,
                 drop_path: float = 0.) -> None:
        super().__init__()
        self.norm1 = norm(dim)
        self.attn = attention
        self.norm2 = norm(dim)
        self.mlp = feedforward
        self.drop_path = DropPath(drop_path)

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
        x = x + self.drop_path(
            self._mix_windows(self.norm1(x), window, shift, mask))
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def _mix_windows(self, x: Tensor, window: Grid, shift: Grid,
                     mask: Optional[WindowMask]) -> Tensor:
        """Pad, shift, partition, attend, and back, in the official order."""
        grid = x.shape[1:-1]
        x = cyclic_shift(pad_to_multiple(x, window), shift)
        padded = x.shape[1:-1]
        windows = self.attn(partition_windows(x, window), window, mask)
        x = merge_windows(windows, window, padded)
        return crop(cyclic_shift(x, tuple(-s for s in shift)), grid)
