"""Relative positions of the tokens of a window."""

from math import log2

import torch
from torch import Tensor

from swin_dense.ops.grid import Grid


def relative_index(window: Grid, table_window: Grid | None = None) -> Tensor:
    """Row of the bias table for every pair of tokens of a window.

    Args:
        window: Window in use, in tokens per axis.
        table_window: Window that the table was made for; by default the same.
            For a smaller window in use the rows are found by coordinates, so
            that an offset keeps its bias. (The official video code slices the
            index of the larger window instead, which is right for the first
            axis only.)

    Returns:
        Index `(N, N)` into a table of `prod(2 * w - 1)` rows. Entry `(q, k)`
        belongs to the offset `q - k`.

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
    coordinates = torch.stack(torch.meshgrid(*axes, indexing='ij')).flatten(1)
    offsets = coordinates[:, :, None] - coordinates[:, None, :]
    index = torch.zeros_like(offsets[0])
    for offset, size in zip(offsets, table_window):
        index = index * (2 * size - 1) + offset + size - 1
    return index


def log_coordinates(
    window: Grid, unit_window: Grid, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Offsets between the tokens of a window, on a logarithmic scale.

    Swin V2 paper, equation 4: `sign(d) * log2(1 + |d|) / log2(8)` of offsets
    that are 8 at the far side of the unit window.

    Args:
        window: Window in use, in tokens per axis.
        unit_window: Window that sets the scale. An axis of one token, which
            has no offset but 0, counts as two.
        dtype: Type of the result.

    Returns:
        Coordinates `(prod(2 * w - 1), axes)`, computed in float32, as the
        official code does whatever the type of the weights; rows in
        the order of `relative_index`.
    """
    axes = [
        torch.arange(1.0 - w, w) / max(unit - 1, 1) * 8
        for w, unit in zip(window, unit_window)
    ]
    offsets = torch.stack(torch.meshgrid(*axes, indexing='ij'), -1)
    offsets = offsets.flatten(0, -2)
    offsets = offsets.sign() * (offsets.abs() + 1).log2() / log2(8)
    return offsets.to(dtype)
