"""A stage: blocks of one resolution, then an optional patch merging."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from swin_dense.kernels import Kernels, choose
from swin_dense.layers.block import SwinBlock
from swin_dense.layers.multiplexed import MultiplexedBlock
from swin_dense.ops import HARD_MASK_VALUE, WindowLayout, fit_window, grid_of
from swin_dense.ops.grid import Grid


class SwinStage(nn.Module):
    """Blocks whose windows are regular and shifted in turn.

    Args:
        blocks: The blocks; every second run shifts its windows by half a
            window. A `SwinBlock` is run once, a `MultiplexedBlock` more
            often.
        downsample: Patch merging at the end; None in the last stage.
        shrink: If true, windows shrink to small maps, see `fit_window`.
        mask_padding: If true, padding is hidden from real tokens.
        with_cp: If true, the backward pass recomputes the activations of each
            block instead of keeping them.
        shift_together: If true, all axes are shifted or none, see
            `fit_window`.
        shift_small_maps: If false, maps that are not larger than the window
            are not shifted, see `fit_window`.
        mask_unshifted: If true, regular windows have the masks of shifted
            windows, too, see `WindowLayout.mask_shift`.

    Raises:
        ValueError: If `mask_padding` is set and the mixer takes no masks.
    """

    def __init__(
        self,
        blocks: Sequence[SwinBlock | MultiplexedBlock],
        downsample: nn.Module | None = None,
        shrink: bool = False,
        mask_padding: bool = False,
        with_cp: bool = False,
        shift_together: bool = False,
        shift_small_maps: bool = True,
        mask_unshifted: bool = False,
    ) -> None:
        super().__init__()
        if mask_padding and blocks[0].mixer.mask_value is None:
            raise ValueError(
                f'{type(blocks[0].mixer).__name__} takes no masks, so padding '
                'cannot be hidden from it: set mask_padding to False'
            )
        self.blocks = nn.ModuleList(blocks)
        self.window_size = blocks[0].mixer.window_size
        self.mask_value = blocks[0].mixer.mask_value
        self.shifts_by = blocks[0].mixer.shifts_by
        self.downsample = downsample
        self.shrink = shrink
        self.mask_padding = mask_padding
        self.with_cp = with_cp
        self.shift_together = shift_together
        self.shift_small_maps = shift_small_maps
        self.mask_unshifted = mask_unshifted

    def forward(
        self, x: Tensor, kernels: Kernels | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run the blocks on maps `(B, *grid, C)`.

        Args:
            x: Maps `(B, *grid, C)`.
            kernels: Set of kernels; None to choose one for `x`.

        Returns:
            The maps after the blocks, `(B, *grid, C)`, for the output of the
            stage; and the maps after merging, for the next stage. Without
            merging the two are the same.
        """
        kernels = choose(x) if kernels is None else kernels
        grid = grid_of(x)
        half = tuple(w // 2 for w in self.window_size)
        layouts = [self._layout(grid, s) for s in ((0,) * len(grid), half)]
        if self.mask_unshifted:
            layouts[0] = layouts[0]._replace(mask_shift=layouts[1].shift)
        blocks: Any = self.blocks
        runs = [run for block in blocks for run in block.runs]
        for index, block in enumerate(runs):
            layout = layouts[index % 2]
            if self.with_cp and torch.is_grad_enabled():
                x = checkpoint(block, x, layout, kernels, use_reentrant=False)
            else:
                x = block(x, layout, kernels)
        if self.downsample is None:
            return x, x
        return x, self.downsample(x, kernels)

    def _layout(self, grid: Grid, shift: Grid) -> WindowLayout:
        """Return the layout of the windows of a map for a nominal shift."""
        window, shift = fit_window(
            grid,
            self.window_size,
            shift,
            self.shrink,
            self.shift_together,
            self.shift_small_maps,
        )
        mask_value = self.mask_value
        if mask_value is not None and self.mask_padding:
            mask_value = HARD_MASK_VALUE
        return WindowLayout(
            grid, window, shift, self.shifts_by, self.mask_padding, mask_value
        )
