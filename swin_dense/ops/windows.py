"""Cutting a map into windows and putting it together again."""
from math import prod
from typing import Any, NamedTuple, Optional

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from swin_dense.ops.cache import cached_by_size
from swin_dense.ops.grid import Grid, pad_to_multiple
from swin_dense.ops.shift import WindowMask, cyclic_shift, window_mask


def partition_windows(x: Tensor, window: Grid) -> Tensor:
    """Cut a map into windows.

    Args:
        x: Map `(B, *grid, C)` whose axes are multiples of the window.
        window: Window size per axis, in tokens.

    Returns:
        Windows `(B * K, N, C)`; windows of a map, and tokens of a window, in
        row-major order.
    """
    batch, *grid, channels = x.shape
    split = [batch]
    for size, w in zip(grid, window):
        split += [size // w, w]
    rank = len(window)
    order = (0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2),
             2 * rank + 1)
    x = x.reshape(*split, channels).permute(order)
    return x.reshape(-1, prod(window), channels)


def merge_windows(windows: Tensor, window: Grid, grid: Grid) -> Tensor:
    """Put windows `(B * K, N, C)` together to a map `(B, *grid, C)`.

    The inverse of `partition_windows`; `grid` is the padded size.
    """
    counts = [size // w for size, w in zip(grid, window)]
    rank = len(window)
    order = [0]
    for axis in range(1, rank + 1):
        order += [axis, axis + rank]
    x = windows.reshape(-1, *counts, *window, windows.shape[-1])
    return x.permute(*order, 2 * rank + 1).reshape(-1, *grid,
                                                   windows.shape[-1])


class WindowSlots(NamedTuple):
    """Where the tokens of a batch of maps go when it is cut into windows.

    Reading by these indices does what padding, shift and partition do, and
    back, in one pass instead of three. Windows with the same mask come one
    after the other, so that a block of them mostly needs one.

    Attributes:
        order: Place of each window in row-major order, `(B * K, )`.
        tokens: Token in each slot of each window, `(B * K, N)`.
        padding: True where a slot holds no token (its index is arbitrary),
            `(B * K, N)`; None where there is no padding.
        places: Slot of each token, `(B * prod(grid), )`.
    """
    order: Tensor
    tokens: Tensor
    padding: Optional[Tensor]
    places: Tensor

    def sort(self, mask: Optional[WindowMask]) -> Optional[WindowMask]:
        """The mask of a map for the windows of all maps, in this order."""
        if mask is None:
            return None
        maps = len(self.order) // len(mask.kinds)
        return WindowMask(mask.masks, mask.kinds.repeat(maps)[self.order])


@cached_by_size(16)
def window_slots(shape: Grid, window: Grid, shift: Grid) -> WindowSlots:
    """Indices of the padded, shifted and partitioned maps `(B, *grid)`."""
    number = torch.arange(1, prod(shape) + 1).view(*shape, 1)
    number = cyclic_shift(pad_to_multiple(number, window), shift)
    number = partition_windows(number, window).squeeze(-1)  # 0 is padding
    mask = window_mask(shape[1:], window, shift, number, mask_padding=True)
    kinds = number.new_zeros(1) if mask is None else mask.kinds
    order = kinds.repeat(len(number) // len(kinds)).argsort(stable=True)
    number = number[order]
    places = torch.empty(prod(shape) + 1, dtype=torch.long)
    places[number.flatten()] = torch.arange(number.numel())
    padding = number == 0
    return WindowSlots(order, (number - 1).clamp_(min=0),
                       padding if padding.any() else None, places[1:])


def read_windows(x: Tensor, slots: WindowSlots) -> Tensor:
    """Windows `(B * K, N, C)` of tokens `(B * prod(grid), C)`, padded by 0."""
    return _Move.apply(x, slots, True)


def read_tokens(windows: Tensor, slots: WindowSlots) -> Tensor:
    """Tokens `(B * prod(grid), C)` of windows; undoes `read_windows`."""
    return _Move.apply(windows, slots, False)


class _Move(torch.autograd.Function):
    """Reads by index both ways: what one reads, the other's gradient reads.

    Every token has one slot, so nothing is added up.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, slots: WindowSlots,
                to_windows: bool) -> Tensor:
        ctx.slots, ctx.to_windows = slots, to_windows
        if not to_windows:
            return x.flatten(0, 1).index_select(0, slots.places)
        windows = x.index_select(0, slots.tokens.flatten())
        if slots.padding is not None:
            windows.index_fill_(0, slots.padding.flatten().nonzero()[:, 0], 0)
        return windows.view(*slots.tokens.shape, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple:
        return _Move.apply(grad, ctx.slots, not ctx.to_windows), None, None
