"""Cutting a map into windows and putting it together again."""
from math import prod

from torch import Tensor

from swin_dense.ops.grid import Grid


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
