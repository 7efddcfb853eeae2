"""Find the window that the position biases of a checkpoint were made for.

Several windows can have bias tables of the same number of rows. Checkpoints
that keep the buffers of their model decide between them.
"""

from functools import lru_cache
from math import isqrt, prod

import torch
from torch import Tensor

from swin_dense.ops import relative_index
from swin_dense.ops.grid import Grid, format_size
from swin_dense.wording import first_few

_LISTED = 6  # windows in an error


@lru_cache(maxsize=64)
def possible_windows(rows: int, axes: int) -> tuple[Grid, ...]:
    """Return all windows whose bias table has a given number of rows.

    Args:
        rows: Number of rows of the table.
        axes: Number of axes of the window.
    """
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
    """Return the window that a bias table was made for.

    Args:
        rows: Number of rows of the table.
        axes: 2 for images, 3 for clips.
        index: Buffer `relative_position_index` beside the table, `(N, N)` or
            flat, if the checkpoint has it. It decides.
        expected: Window that decides if there is no index, and not exactly
            one window has the same height and width. If it does not fit, its
            number of frames decides.

    Returns:
        Window in tokens per axis.

    Raises:
        ValueError: If the rows fit no window, or several that nothing decides
            between.
    """
    windows = possible_windows(rows, axes)
    matches: list[Grid] = []
    if index is not None:
        tokens = isqrt(index.numel())
        matches = [window for window in windows if prod(window) == tokens]
        if len(matches) > 1:
            matches = [
                window
                for window in matches
                if torch.equal(
                    index.flatten().long().cpu(),
                    relative_index(window).flatten(),
                )
            ]
    if not matches:
        matches = [window for window in windows if window[-1] == window[-2]]
    if len(matches) > 1:  # nobody trains with one token per frame
        matches = [window for window in matches if window[-1] > 1]
    if len(matches) != 1 and expected in windows:
        return expected
    if len(matches) > 1 and expected:
        matches = [
            window for window in matches if window[0] == expected[0]
        ] or matches
    if len(matches) == 1:
        return matches[0]
    options = matches or windows
    if not options:
        raise ValueError(
            f'a bias table of {rows} rows fits no window of {axes} axes, '
            'since a window of M tokens has 2M - 1 offsets on each'
        )
    sizes = first_few(map(format_size, options), _LISTED)
    raise ValueError(
        f'a bias table of {rows} rows may be for a window of {sizes} (in '
        'tokens), and the file does not say which: give source_window '
        '(--from-window on the command line)'
    )


def normalising_window(coordinates: Tensor) -> Grid:
    """Return the pretrained window of Swin V2 that log coordinates imply.

    Args:
        coordinates: Buffer `relative_coords_table`,
            `(1, 2h - 1, 2w - 1, 2)`. An offset `d` was scaled to
            `d / (pretrained window - 1) * 8`, and stored as
            `log2(1 + d) / log2(8)` (paper, equation 4).

    Returns:
        Pretrained window (h, w) in tokens; 1 on an axis with one token.
    """
    corner = coordinates[0, -1, -1].double()
    largest = (8**corner - 1) / 8
    return tuple(
        round(1 + (offsets // 2) / value) if value > 0 else 1
        for offsets, value in zip(coordinates.shape[1:3], largest.tolist())
    )
