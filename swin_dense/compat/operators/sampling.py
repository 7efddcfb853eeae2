"""Weighted sums of rows, which every sampling operator consists of.

RoIAlign, deformable convolution and deformable attention all compute, per
output position, a weighted sum of a few pixels. With pixels as the rows of a
table, such a sum is a bag of embeddings. PyTorch has a fused kernel for bags
on every device, which keeps single samples out of memory.

Dimension key: N bags, T taps (pixels) per bag, C channels.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Size = int | Tensor

# Elements that an operator may hold in temporaries at once. Longer work is cut
# into chunks, so memory does not grow with the number of boxes.
MAX_ELEMENTS = 2**23


def compute_dtype(tensor: Tensor) -> torch.dtype:
    """Return float64 for float64, float32 for everything narrower."""
    return torch.promote_types(tensor.dtype, torch.float32)


def without_autocast(device_type: str) -> torch.autocast:
    """Return a context in which operations keep the types of their inputs.

    Args:
        device_type: As `tensor.device.type`.
    """
    # The meta device has no autocast.
    device_type = 'cpu' if device_type == 'meta' else device_type
    return torch.autocast(device_type, enabled=False)


def sum_rows(table: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Sum `weight[n, t] * table[index[n, t]]` over t.

    Args:
        table: (rows, C).
        index: Rows of the table, (N, T), integer.
        weight: Factor of each row, (N, T).

    Returns:
        (N, C), differentiable in `table` and `weight`.
    """
    return F.embedding_bag(index, table, mode='sum', per_sample_weights=weight)


def add_rows(
    table: Tensor, index: Tensor, weight: Tensor, rows: Tensor
) -> None:
    """Add `weight[n, t] * rows[n]` to `table[index[n, t]]`, in place.

    This is the transpose of `sum_rows`. Taps are sorted by row and summed as
    bags again. That is fast and needs no atomic additions, so every run gives
    the same bits.

    Args:
        table: (rows, C), changed in place.
        index: (N, T), integer.
        weight: (N, T).
        rows: (N, C).
    """
    target, order = index.flatten().sort(stable=True)
    target, counts = target.unique_consecutive(return_counts=True)
    sums = F.embedding_bag(
        order // index.size(1),
        rows,
        counts.cumsum(0) - counts,
        mode='sum',
        per_sample_weights=weight.flatten()[order],
    )
    table.index_add_(0, target, sums)


def bilinear_taps(
    y: Tensor, x: Tensor, height: Size, width: Size
) -> tuple[Tensor, Tensor]:
    """Return the four pixels around every position and their weights.

    Pixels outside the map count as zero. A position one pixel outside, or
    further away, has no gradient.

    Args:
        y, x: Positions in pixels, of any shape; 0 is the centre of the first
            pixel.
        height, width: Size of the map, integers or tensors that broadcast
            with the positions.

    Returns:
        Index `row * width + column` and weight, (*, 4) where the positions
        are (*). The weight is differentiable in `y` and `x`.
    """
    inside = (y > -1) & (y < height) & (x > -1) & (x < width)
    y, x = (v.masked_fill(~inside, 0.0) for v in (y, x))
    top, left = y.detach().floor(), x.detach().floor()
    index, weight = [], []
    for row, row_weight in ((top, top + 1 - y), (top + 1, y - top)):
        for column, column_weight in (
            (left, left + 1 - x),
            (left + 1, x - left),
        ):
            valid = (
                inside
                & (row >= 0)
                & (row < height)
                & (column >= 0)
                & (column < width)
            )
            index.append((row.long() * width + column.long()) * valid)
            weight.append(row_weight * column_weight * valid)
    return torch.stack(index, -1), torch.stack(weight, -1)


def vector_jacobian(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    grad_output: Tensor,
) -> tuple[Tensor, ...]:
    """Return the gradients of `function(*inputs)` in its inputs.

    Args:
        function: Differentiable function that returns one tensor.
        inputs: Floating-point tensors.
        grad_output: Gradient in the result of `function`.
    """
    inputs = [value.detach().requires_grad_() for value in inputs]
    with torch.enable_grad():
        output = function(*inputs)
    return torch.autograd.grad(output, inputs, grad_output)
