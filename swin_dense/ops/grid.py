"""Sizes per axis, and padding and cropping of channels-last maps."""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Grid = tuple[int, ...]
IntOrGrid = int | Sequence[int]


def format_size(grid: Sequence[int]) -> str:
    """Return a size as text, such as '7x7'."""
    return 'x'.join(map(str, grid))


def grid_of(x: Tensor) -> Grid:
    """Return the grid of a map `(B, *grid, C)` in tokens per axis."""
    grid = tuple(x.shape[1:-1])
    # A tracer hands out tensors in place of sizes.
    return tuple(map(int, grid)) if torch.jit.is_tracing() else grid


def to_tuple(value: IntOrGrid, rank: int, name: str = 'size') -> Grid:
    """Return a size for every axis.

    Args:
        value: One positive integer for all axes, or one for each.
        rank: Number of axes.
        name: Name of the argument, for the error.

    Raises:
        ValueError: If the number of sizes is not `rank`, or one is below 1.
    """
    sizes = tuple(value) if isinstance(value, Iterable) else (value,) * rank
    if len(sizes) != rank or any(
        not isinstance(size, int) or size < 1 for size in sizes
    ):
        raise ValueError(
            f'{name} must be a positive integer or {rank} of them, got '
            f'{value!r}'
        )
    return sizes


def round_up(size: int, multiple: int) -> int:
    """Return the smallest multiple that is not below a size.

    Written so that a compiler simplifies it where it is nested.
    """
    return (size + multiple - 1) // multiple * multiple


def pad_to_multiple(x: Tensor, multiple: Grid) -> Tensor:
    """Append zeros so that every axis is a multiple of the given size.

    Args:
        x: Map `(B, *grid, C)`.
        multiple: Size per grid axis, in tokens.

    Returns:
        The map itself if its axes are multiples already, else a copy that is
        padded at the end of the axes (bottom, right, last frames).
    """
    missing = [
        round_up(size, m) - size for size, m in zip(x.shape[1:-1], multiple)
    ]
    # No size decides what a compiler traces.
    if not torch.compiler.is_compiling() and not any(missing):
        return x
    amounts = [0, 0]  # F.pad counts from the last axis, which is C
    for amount in reversed(missing):
        amounts += [0, amount]
    return F.pad(x, amounts)  # (B, *padded, C)


def crop(x: Tensor, grid: Grid, before: Grid | None = None) -> Tensor:
    """Return a part of a map as a view.

    Args:
        x: Map `(B, *padded, C)`.
        grid: Size of the part, in tokens per axis.
        before: Tokens to skip at the start of each axis; none by default.

    Returns:
        Map `(B, *grid, C)`.
    """
    for axis, size in enumerate(grid, start=1):
        x = x.narrow(axis, before[axis - 1] if before else 0, size)
    return x  # (B, *grid, C)


def cyclic_shift(x: Tensor, shift: Grid) -> Tensor:
    """Roll a map `(B, *grid, C)` so that position `shift` becomes the origin.

    Args:
        x: Map.
        shift: Shift per axis, in tokens; negative to roll back.
    """
    if not any(shift):
        return x
    axes = tuple(range(1, len(shift) + 1))
    return x.roll(tuple(-s for s in shift), axes)


def fit_window(
    grid: Grid,
    window: Grid,
    shift: Grid,
    shrink: bool,
    shift_together: bool = False,
    shift_small_maps: bool = True,
) -> tuple[Grid, Grid]:
    """Return the window and the shift to use on a map of a given size.

    Args:
        grid: Size of the map, in tokens per axis.
        window: Nominal window, in tokens per axis.
        shift: Nominal shift, in tokens per axis.
        shrink: If true, an axis that is not larger than the window gets one
            window of its own size and no shift (official code of Swin V2 and
            Video Swin). If false, window and shift stay, since the map will
            be padded to the window (official dense code of V1).
        shift_together: If true, no axis is shifted unless all are (as
            mmpretrain does for windows that shrink).
        shift_small_maps: If false, no axis is shifted unless the map is
            larger than the window on all axes (official code of Swin-MLP).

    Returns:
        Window and shift, in tokens per axis.
    """
    if not shift_small_maps and any(
        size <= w for size, w in zip(grid, window)
    ):
        shift = (0,) * len(shift)
    if not shrink:
        return window, shift
    # No `min`, of which a compiler would make a window without a size.
    fitted = tuple(w if w < size else size for size, w in zip(grid, window))
    shifts = tuple(
        0 if size <= w else s for size, w, s in zip(grid, window, shift)
    )
    if shift_together and 0 in shifts:
        shifts = (0,) * len(shifts)
    return fitted, shifts
