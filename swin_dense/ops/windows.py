"""Partition of a map into windows, and its inverse."""

from math import prod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from swin_dense.ops.grid import Grid, crop, cyclic_shift, round_up


class WindowLayout(NamedTuple):
    """Position of the windows of a map: sizes alone, no tensors.

    Attributes:
        grid: Size of the map, in tokens per axis.
        window: Window, in tokens per axis.
        shift: Shift in tokens per axis, smaller than the window.
        shifts_by: `roll` rolls the padded map, so that the last windows hold
            tokens of opposite sides; `pad` inserts zeros before the first
            token, which fill the first and last windows.
        mask_padding: If true, tokens do not see padding. If false, padding is
            a token like others, as in the official dense code.
        mask_value: Number that hides a key when it is added to its logit;
            None for mixers that take no masks.
        mask_shift: Shift that masks are made for; None for `shift`. Weights of
            Mini-Swin expect the masks of shifted windows in regular windows.
    """

    grid: Grid
    window: Grid
    shift: Grid
    shifts_by: str = 'roll'
    mask_padding: bool = False
    mask_value: float | None = None
    mask_shift: Grid | None = None

    @property
    def before(self) -> Grid:
        """Return the padding before the first token, in tokens per axis."""
        if self.shifts_by == 'roll':
            return (0,) * len(self.grid)
        return tuple(
            w - s if s else 0 for w, s in zip(self.window, self.shift)
        )

    @property
    def padded(self) -> Grid:
        """Return the size of the padded map, a multiple of the window."""
        sizes = [size + b for size, b in zip(self.grid, self.before)]
        return tuple(map(round_up, sizes, self.window))

    @property
    def num_windows(self) -> int:
        """Return the number of windows of a map."""
        return prod(p // w for p, w in zip(self.padded, self.window))


def partition_windows(x: Tensor, window: Grid) -> Tensor:
    """Cut a map into windows.

    Args:
        x: Map `(B, *grid, C)` whose axes are multiples of the window.
        window: Window in tokens per axis.

    Returns:
        Windows `(B * K, N, C)`. Windows of a map and tokens of a window are in
        row-major order.
    """
    batch, *grid, channels = x.shape
    counts = [size // w for size, w in zip(grid, window)]
    count, tokens = batch * prod(counts), prod(window)
    split = [size for pair in zip(counts, window) for size in pair]
    rank = len(window)
    order = (
        0,
        *range(1, 2 * rank, 2),
        *range(2, 2 * rank + 1, 2),
        2 * rank + 1,
    )
    # For images:
    x = x.reshape(batch, *split, channels)  # (B, H/h, h, W/w, w, C)
    x = x.permute(order)  # (B, H/h, W/w, h, w, C)
    return x.reshape(count, tokens, channels)  # (B * K, N, C)


def merge_windows(
    windows: Tensor, window: Grid, grid: Grid, batch: int | None = None
) -> Tensor:
    """Assemble a map from its windows, the inverse of `partition_windows`.

    Args:
        windows: Windows `(B * K, N, C)`.
        window: Window in tokens per axis.
        grid: Size of the map in tokens per axis, multiples of the window.
        batch: Number of maps B, if known.

    Returns:
        Map `(B, *grid, C)`.
    """
    counts = [size // w for size, w in zip(grid, window)]
    # A quotient of products of symbols takes a compiler minutes.
    batch = len(windows) // prod(counts) if batch is None else batch
    channels = windows.shape[-1]
    rank = len(window)
    order = [0]
    for axis in range(1, rank + 1):
        order += [axis, axis + rank]
    # For images, (B, H/h, W/w, h, w, C):
    x = windows.reshape(batch, *counts, *window, channels)
    x = x.permute(*order, 2 * rank + 1)  # (B, H/h, h, W/w, w, C)
    return x.reshape(batch, *grid, channels)  # (B, *grid, C)


def cut_windows(
    x: Tensor, layout: WindowLayout, padding: Tensor | None = None
) -> Tensor:
    """Pad, shift and partition maps, in the official order.

    Args:
        x: Maps `(B, *grid, C)`.
        layout: Position of their windows.
        padding: Token `(C, )` that padding consists of; zeros if None.

    Returns:
        Windows `(B * K, N, C)`.
    """
    if torch.compiler.is_compiling():
        x = _pad_symbolically(x, layout, padding)
    else:
        x = _pad(x, layout, padding)
    if layout.shifts_by == 'roll':
        x = cyclic_shift(x, layout.shift)
    return partition_windows(x, layout.window)


def join_windows(
    windows: Tensor, layout: WindowLayout, batch: int | None = None
) -> Tensor:
    """Assemble, shift back and crop maps, the inverse of `cut_windows`.

    Args:
        windows: Windows `(B * K, N, C)`.
        layout: Position of the windows.
        batch: Number of maps B, if known.

    Returns:
        Maps `(B, *grid, C)`.
    """
    x = merge_windows(windows, layout.window, layout.padded, batch)
    if layout.shifts_by == 'roll':
        x = cyclic_shift(x, tuple(-s for s in layout.shift))
    x = crop(x, layout.grid, layout.before)
    if torch.compiler.is_compiling():
        # Contiguous or not would depend on sizes.
        x = x.clone(memory_format=torch.contiguous_format)
    return x


def _pad(x: Tensor, layout: WindowLayout, padding: Tensor | None) -> Tensor:
    """Pad maps `(B, *grid, C)` to `(B, *padded, C)`."""
    for axis, (front, size) in enumerate(
        zip(layout.before, layout.padded), start=1
    ):
        back = size - front - layout.grid[axis - 1]
        if front or back:
            x = torch.cat(
                [
                    _filler(x, axis, front, padding),
                    x,
                    _filler(x, axis, back, padding),
                ],
                axis,
            )  # (B, *padded up to this axis, *grid, C)
    return x


def _pad_symbolically(
    x: Tensor, layout: WindowLayout, padding: Tensor | None
) -> Tensor:
    """Pad maps as `_pad` does, by operations that are the same for all sizes.

    With sizes that are symbols, a compiler then needs one graph only.
    """
    rank, amounts = len(layout.grid), [0, 0]  # F.pad counts from C backwards
    inside = torch.ones((), dtype=torch.bool, device=x.device)
    for axis in reversed(range(rank)):
        size, front = layout.grid[axis], layout.before[axis]
        padded = layout.padded[axis]
        amounts += [front, padded - front - size]
        position = torch.arange(padded, device=x.device) - front
        real = (position >= 0) & (position < size)
        # (padded, 1 for each later axis, 1)
        inside = inside & real.view(padded, *[1] * (rank - axis))
    x = F.pad(x, amounts)  # (B, *padded, C)
    return x if padding is None else torch.where(inside, x, padding)


def _filler(x: Tensor, axis: int, size: int, padding: Tensor | None) -> Tensor:
    """Return padding of `size` tokens for one side of an axis of a map."""
    # (B, ..., size, ..., C)
    shape = [*x.shape[:axis], size, *x.shape[axis + 1 :]]
    return x.new_zeros(shape) if padding is None else padding.expand(shape)
