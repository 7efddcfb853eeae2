"""Relative positions of the tokens of a window."""

from math import log2

import torch
from torch import Tensor

from swin_dense.ops.grid import Grid


def relative_index(window: Grid, table_window: Grid | None = None) -> Tensor:
    """Return the row of the bias table for every pair of tokens of a window.

    Args:
        window: Window in use, in tokens per axis.
        table_window: Window that the table was made for; by default the
            window in use. If that is smaller, rows are found by coordinates,
            so that an offset keeps its bias. (The official video code slices
            the index of the larger window instead, which is right for the
            first axis only.)

    Returns:
        Index `(N, N)` into a table of `prod(2 * w - 1)` rows. Entry `(q, k)`
        is the row of the offset `q - k` from key to query.

    Raises:
        ValueError: If the window in use is larger than the table's.
    """
    table_window = table_window or window
    if any(w > t for w, t in zip(window, table_window)):
        raise ValueError(
            f'a bias table for windows of {table_window} has no offsets for '
            f'windows of {window}: resize the table first'
        )
    axes = [torch.arange(w) for w in window]
    # (axes, *window)
    coordinates = torch.stack(torch.meshgrid(*axes, indexing='ij'))
    coordinates = coordinates.flatten(1)  # (axes, N)
    offsets = coordinates[:, :, None] - coordinates[:, None, :]  # (axes, N, N)
    index = torch.zeros_like(offsets[0])  # (N, N)
    for offset, size in zip(offsets, table_window):
        index = index * (2 * size - 1) + offset + size - 1
    return index


def log_coordinates(
    window: Grid, unit_window: Grid, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return the offsets between the tokens of a window on a log scale.

    Swin V2 paper, equation 4: `sign(d) * log2(1 + |d|) / log2(8)`, where
    offsets `d` are scaled so that the largest of the unit window is 8.

    Args:
        window: Window in use, in tokens per axis.
        unit_window: Window that sets the scale, in tokens per axis. An axis
            of one token, which has no offset but 0, counts as two.
        dtype: Type of the result.

    Returns:
        Coordinates `(prod(2 * w - 1), axes)`, rows in the order of
        `relative_index`. Computed in float32 whatever the type of the
        weights, as in the official code.
    """
    axes = [
        torch.arange(1.0 - w, w) / max(unit - 1, 1) * 8
        for w, unit in zip(window, unit_window)
    ]
    # (*(2 * w - 1), axes), for images (2h - 1, 2w - 1, 2)
    offsets = torch.stack(torch.meshgrid(*axes, indexing='ij'), -1)
    offsets = offsets.flatten(0, -2)  # (prod(2 * w - 1), axes)
    offsets = offsets.sign() * (offsets.abs() + 1).log2() / log2(8)
    return offsets.to(dtype)
