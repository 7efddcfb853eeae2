"""Sizes per axis, and padding and cropping of channels-last maps."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Grid = tuple[int, ...]
IntOrGrid = int | Sequence[int]


def format_size(grid: Sequence[int]) -> str:
    """A size for people, such as 7x7."""
    return 'x'.join(map(str, grid))


def grid_of(x: Tensor) -> Grid:
    """Return the sizes of a map `(B, *grid, C)`, which a tracer hides."""
    grid = tuple(x.shape[1:-1])
    return tuple(map(int, grid)) if torch.jit.is_tracing() else grid


def to_tuple(value: IntOrGrid, rank: int, name: str = 'size') -> Grid:
    """Spell out a size for every axis.

    Args:
        value: One positive integer for all axes, or one for each.
        rank: Number of axes.
        name: What the size is called in the error.

    Raises:
        ValueError: If the number of sizes is not `rank`, or one is below 1.
    """
    sizes = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(sizes) != rank or any(
        not isinstance(size, int) or size < 1 for size in sizes
    ):
        raise ValueError(
            f'{name} must be a positive integer or {rank} of them, got '
            f'{value!r}'
        )
    return sizes


def pad_to_multiple(x: Tensor, multiple: Grid) -> Tensor:
    """Append zeros so that every axis is a multiple of the given size.

    Args:
        x: Map `(B, *grid, C)`.
        multiple: Size per grid axis, in tokens.

    Returns:
        The map itself where nothing is missing, else a padded copy. Padding
        goes to the end of an axis (bottom, right, last frames).
    """
    missing = [-size % m for size, m in zip(x.shape[1:-1], multiple)]
    if not any(missing):
        return x
    amounts = [0, 0]  # F.pad counts from the last axis, which is C
    for amount in reversed(missing):
        amounts += [0, amount]
    return F.pad(x, amounts)


def crop(x: Tensor, grid: Grid, before: Grid | None = None) -> Tensor:
    """Return a view of `grid` tokens per axis, from `before` or the first."""
    for axis, size in enumerate(grid, start=1):
        x = x.narrow(axis, before[axis - 1] if before else 0, size)
    return x


def cyclic_shift(x: Tensor, shift: Grid) -> Tensor:
    """Roll a map `(B, *grid, C)` so that `shift` becomes its origin.

    Negative shifts roll it back.
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
) -> tuple[Grid, Grid]:
    """Window and shift that are used on a map of this size.

    Args:
        grid: Size of the map, in tokens per axis.
        window: Nominal window.
        shift: Nominal shift.
        shrink: If true, an axis that is not larger than the window gets one
            window of its own size and no shift (Swin V2 and Video Swin). If
            false nothing changes, since the map will be padded to the window
            (the official dense V1 code).
        shift_together: If true, no axis is shifted where one is not (as
            mmpretrain has it for windows that shrink).
    """
    if not shrink:
        return window, shift
    fitted = tuple(min(size, w) for size, w in zip(grid, window))
    shifts = tuple(
        0 if size <= w else s for size, w, s in zip(grid, window, shift)
    )
    if shift_together and 0 in shifts:
        shifts = (0,) * len(shifts)
    return fitted, shifts
