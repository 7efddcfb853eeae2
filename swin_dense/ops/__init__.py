"""Window geometry in pure torch, written once for any number of axes.

Everything works on channels-last maps `(B, *grid, C)`: two grid axes for
images, three for video. Keys: B batch, C channels, K windows per map, N
tokens per window.
"""
from swin_dense.ops.blocks import (blocks_of, fits_block, in_blocks,
                                   prefers_blocks)
from swin_dense.ops.grid import crop, fit_window, pad_to_multiple, to_tuple
from swin_dense.ops.linear import cpu_linear, infer_linear, pack_weights_once
from swin_dense.ops.relative import log_coordinates, relative_index
from swin_dense.ops.shift import WindowMask, cyclic_shift, window_mask
from swin_dense.ops.windows import (WindowSlots, merge_windows,
                                    partition_windows, read_tokens,
                                    read_windows, window_slots)

__all__ = [
    'WindowMask', 'WindowSlots', 'blocks_of', 'cpu_linear', 'crop',
    'cyclic_shift', 'fit_window', 'fits_block', 'in_blocks', 'infer_linear',
    'log_coordinates', 'merge_windows', 'pack_weights_once', 'pad_to_multiple',
    'partition_windows', 'prefers_blocks', 'read_tokens', 'read_windows',
    'relative_index', 'to_tuple', 'window_mask', 'window_slots'
]
