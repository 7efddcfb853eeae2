"""A stage: blocks of one resolution, then optional merging."""
from typing import Optional

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from swin_dense.layers.patch import PatchMerging
from swin_dense.ops import fit_window, window_mask
from swin_dense.ops.grid import Grid
from swin_dense.ops.shift import HIDDEN


class SwinStage(nn.Module):
    """Blocks with regular and shifted windows in turn.

    Args:
        blocks: The blocks; every second one shifts by half a window.
        window_size: Window in tokens per axis.
        downsample: Merging at the end, None in the last stage.
        shrink: Whether windows shrink to small maps, see `fit_window`.
        mask_padding: Whether padding is hidden from real tokens.
        with_cp: Whether the activations of a block are recomputed in the
            backward pass instead of kept.
    """

    def __init__(self,
                 blocks: list[nn.Module],
                 window_size: Grid,
                 downsample: Optional[PatchMerging] = None,
                 shrink: bool = False,
                 mask_padding: bool = False,
                 with_cp: bool = False) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.window_size = window_size
        self.downsample = downsample
        self.shrink = shrink
        self.mask_padding = mask_padding
        self.with_cp = with_cp

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Run the blocks on a map `(B, *grid, C)`.

        Returns:
            The map after the blocks, which the pyramid puts out, and the one
            after merging, which the next stage takes.
        """
        grid = tuple(x.shape[1:-1])
        half = tuple(w // 2 for w in self.window_size)
        excluded = HIDDEN if self.mask_padding else (
            self.blocks[0].attn.excluded)
        layouts = []  # window, shift and mask of even and odd blocks
        for shift in ((0, ) * len(grid), half):
            window, shift = fit_window(grid, self.window_size, shift,
                                       self.shrink)
            layouts.append((window, shift,
                            window_mask(grid, window, shift, x,
                                        self.mask_padding, excluded)))
        for index, block in enumerate(self.blocks):
            if self.with_cp and torch.is_grad_enabled():
                x = checkpoint(
                    block, x, *layouts[index % 2], use_reentrant=False)
            else:
                x = block(x, *layouts[index % 2])
        return x, x if self.downsample is None else self.downsample(x)
