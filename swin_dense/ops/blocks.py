"""Running a function over blocks of a batch, so that its buffers stay small.

Windows do not see each other, and neither do the tokens of a feed-forward
network. Without gradients nothing needs to be kept, so both may run block by
block: the intermediate results of a block fit the processor's cache and reuse
the same memory, instead of streaming through fresh buffers as large as the
map.
"""
from typing import Callable, Optional

import torch
from torch import Tensor

# Bytes of the intermediate results of one block; of the order of the second
# level cache, which two consecutive products can share.
BLOCK_BYTES = 2**21


def block_length(x: Tensor, widest: int) -> Optional[int]:
    """How many rows of a batch a block should have, None for all of them.

    Args:
        x: Batch, first axis rows.
        widest: Number of elements per row of the widest intermediate result.

    Returns:
        None where the plain path is better: with gradients (what is kept is
        kept for all rows anyway), off the CPU (the device wants large
        batches), while compiling.
    """
    if (torch.is_grad_enabled() or x.device.type != 'cpu'
            or torch.compiler.is_compiling()):
        return None
    length = max(1, BLOCK_BYTES // (widest * x.element_size()))
    return length if length < len(x) else None


def in_blocks(function: Callable[[slice], Tensor], out: Tensor,
              length: int) -> Tensor:
    """Fill `out` with `function(rows)` for consecutive blocks of rows.

    Args:
        function: Computes the rows of a slice.
        out: Result, first axis rows; may be the input of `function` where a
            row depends on no other.
        length: Rows of a block.
    """
    for start in range(0, len(out), length):
        rows = slice(start, min(start + length, len(out)))
        out[rows] = function(rows)
    return out
