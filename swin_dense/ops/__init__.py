"""Window geometry in pure torch, for any number of axes.

All functions work on channels-last maps `(B, *grid, C)`: two grid axes for
images, three for video. Letters in shapes: B batch, C channels, K windows per
map, N tokens per window, D channels of a head.
"""

from swin_dense.ops.grid import (
    crop,
    cyclic_shift,
    fit_window,
    grid_of,
    pad_to_multiple,
    to_tuple,
)
from swin_dense.ops.relative_position import log_coordinates, relative_index
from swin_dense.ops.shift import (
    HARD_MASK_VALUE,
    OFFICIAL_MASK_VALUE,
    WindowMask,
    window_mask,
)
from swin_dense.ops.size_cache import SizeCache, is_exported, is_traced
from swin_dense.ops.windows import (
    WindowLayout,
    cut_windows,
    join_windows,
    merge_windows,
    partition_windows,
)

__all__ = [
    'HARD_MASK_VALUE',
    'OFFICIAL_MASK_VALUE',
    'SizeCache',
    'WindowLayout',
    'WindowMask',
    'crop',
    'cut_windows',
    'cyclic_shift',
    'fit_window',
    'grid_of',
    'is_exported',
    'is_traced',
    'join_windows',
    'log_coordinates',
    'merge_windows',
    'pad_to_multiple',
    'partition_windows',
    'relative_index',
    'to_tuple',
    'window_mask',
]
