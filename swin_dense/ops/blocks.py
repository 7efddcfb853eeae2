"""Working through a batch in blocks, so that buffers stay in the cache.

Windows do not see each other, and neither do the tokens of a feed-forward
network. On a CPU both run faster in blocks: intermediate results of a block
stay in the processor's cache and reuse the same memory, instead of streaming
through fresh buffers as large as the map.
"""
from typing import Any, Callable, Iterator

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Bytes of the widest intermediate result of a block. Large enough for matrix
# products to run at full speed, small enough for a shared last-level cache.
BLOCK_BYTES = 8 * 2**20

# Computes the rows of a slice from these rows of the batch and from tensors
# that all rows share.
RowFunction = Callable[..., Tensor]


def prefers_blocks(x: Tensor) -> bool:
    """Whether a tensor is better worked on in blocks.

    Not off the CPU (the device wants large batches), not while compiling or
    tracing (the loop would be unrolled), not under autocast (which casts each
    operation of the plain path).
    """
    return not (x.device.type != 'cpu' or torch.is_autocast_enabled('cpu')
                or torch.compiler.is_compiling() or torch.jit.is_tracing())


def blocks_of(x: Tensor, widest: int) -> Iterator[slice]:
    """Consecutive slices of the first axis.

    Args:
        x: Batch, first axis rows.
        widest: Elements per row of the widest intermediate result.
    """
    length = _block_length(x, widest)
    for start in range(0, len(x), length):
        yield slice(start, min(start + length, len(x)))


def fits_block(x: Tensor, widest: int) -> bool:
    """Whether one block is enough, see `blocks_of`."""
    return len(x) <= _block_length(x, widest)


def _block_length(x: Tensor, widest: int) -> int:
    return max(1, BLOCK_BYTES // (widest * x.element_size()))


def in_blocks(function: RowFunction, widest: int, x: Tensor, *shared:
              Tensor) -> Tensor:
    """Compute `function(rows, x[rows], *shared)` for all rows, by blocks.

    The gradient, if one is needed, is computed by blocks too: only the
    arguments are kept, and each block is computed anew when its turn comes.
    Where one block is enough nothing is computed twice.

    Args:
        function: Computes the rows of a slice; must be deterministic.
        widest: See `blocks_of`.
        x: Batch, first axis rows.
        shared: What all rows depend on.

    Returns:
        The result, rows first. It cannot be differentiated twice.
    """
    if fits_block(x, widest):
        return function(slice(None), x, *shared)
    return _InBlocks.apply(function, widest, x, *shared)


class _InBlocks(torch.autograd.Function):
    """The autograd side of `in_blocks`."""

    @staticmethod
    def forward(ctx: Any, function: RowFunction, widest: int, *tensors:
                Tensor) -> Tensor:
        ctx.function, ctx.widest = function, widest
        ctx.save_for_backward(*tensors)
        # Some kernels choose by whether a gradient will be asked for.
        x, *shared = (tensor.detach() for tensor in tensors)
        out = x
        for rows in blocks_of(x, widest):
            block = function(rows, x[rows], *shared)
            if rows.start == 0:
                out = block.new_empty(len(x), *block.shape[1:])
            out[rows] = block
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple:
        x, *shared = ctx.saved_tensors
        shared = [tensor.detach().requires_grad_() for tensor in shared]
        grad_x = torch.empty_like(x)
        grads: list[Tensor] = []
        for rows in blocks_of(x, ctx.widest):
            inputs = [x[rows].detach().requires_grad_(), *shared]
            with torch.enable_grad():
                block = ctx.function(rows, *inputs)
            grad_x[rows], *parts = torch.autograd.grad(block, inputs,
                                                       grad[rows])
            grads = [total + part
                     for total, part in zip(grads, parts)] or parts
        return None, None, grad_x, *grads
