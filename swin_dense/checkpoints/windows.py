"""Which window the position biases of a file were made for.

The rows of a table are a product, which several windows share. Files that
keep the buffers of their model tell more.
"""

from functools import lru_cache
from math import isqrt, prod

import torch
from torch import Tensor

from swin_dense.ops import relative_index
from swin_dense.ops.grid import Grid, format_size

_LISTED = 6  # windows in an error


def table_window(rows: int) -> int | None:
    """The square window that a bias table of so many rows belongs to.

    Returns:
        M where there are `(2M - 1) ** 2` rows, else None.
    """
    side = isqrt(rows)
    return (side + 1) // 2 if side**2 == rows and side % 2 else None


@lru_cache(maxsize=64)
def possible_windows(rows: int, axes: int) -> tuple[Grid, ...]:
    """All windows whose bias table has so many rows."""
    if axes == 1:
        return (((rows + 1) // 2,),) if rows % 2 else ()
    return tuple(
        ((offsets + 1) // 2, *rest)
        for offsets in range(1, rows + 1, 2)
        if rows % offsets == 0
        for rest in possible_windows(rows // offsets, axes - 1)
    )


def find_window(
    rows: int,
    axes: int,
    index: Tensor | None = None,
    expected: Grid | None = None,
) -> Grid:
    """The window that a bias table was made for.

    Args:
        rows: Rows of the table.
        axes: 2 for images, 3 for clips.
        index: The buffer `relative_position_index` beside the table, `(N, N)`
            or flat, if the file has it: it is decisive.
        expected: Where there is no index and equal height and width do not
            settle it, this window is taken if it fits, or the one that has
            its number of frames.

    Returns:
        Window in tokens per axis.

    Raises:
        ValueError: If the rows fit no window, or several and nothing tells
            which.
    """
    windows = possible_windows(rows, axes)
    found: list[Grid] = []
    if index is not None:
        tokens = isqrt(index.numel())
        found = [window for window in windows if prod(window) == tokens]
        if len(found) > 1:
            found = [
                window
                for window in found
                if torch.equal(
                    index.flatten().long().cpu(),
                    relative_index(window).flatten(),
                )
            ]
    if not found:
        found = [window for window in windows if window[-1] == window[-2]]
    if len(found) > 1:  # a single token per frame is no use of Swin
        found = [window for window in found if window[-1] > 1]
    if len(found) != 1 and expected in windows:
        return expected
    if len(found) > 1 and expected:
        found = [
            window for window in found if window[0] == expected[0]
        ] or found
    if len(found) == 1:
        return found[0]
    options = found or windows
    if not options:
        raise ValueError(
            f'a bias table of {rows} rows fits no window of {axes} axes, '
            'since a window of M tokens has 2M - 1 offsets on each'
        )
    listed = ', '.join(map(format_size, options[:_LISTED]))
    more = ', ...' if len(options) > _LISTED else ''
    raise ValueError(
        f'a bias table of {rows} rows may be for windows of {listed}{more} '
        'tokens, and the file does not say which: give source_window '
        '(--from-window on the command line)'
    )


def normalising_window(coordinates: Tensor) -> Grid:
    """The window that normalises the log coordinates of Swin V2.

    Args:
        coordinates: The buffer `relative_coords_table`,
            `(1, 2h - 1, 2w - 1, 2)`. Its largest offset, M - 1, was divided
            by the pretrained window less 1, times 8, and became
            `log2(1 + offset) / log2(8)`.

    Returns:
        The pretrained window (h, w): the table's own where the weights were
        trained with it from the start. 1 on an axis with one token.
    """
    corner = coordinates[0, -1, -1].double()
    largest = (8**corner - 1) / 8
    return tuple(
        round(1 + (offsets // 2) / value) if value > 0 else 1
        for offsets, value in zip(coordinates.shape[1:3], largest.tolist())
    )
