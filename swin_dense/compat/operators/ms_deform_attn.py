"""Multi-scale deformable attention (https://arxiv.org/abs/2010.04159).

Dimension key: B images, Q queries, L levels, S pixels of all levels together,
M heads, P points per level and head, C channels per head.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from swin_dense.compat.operators.sampling import (
    MAX_ELEMENTS,
    bilinear_taps,
    compute_dtype,
    sum_rows,
)


def ms_deform_attn(
    value: Tensor,
    shapes: Tensor,
    starts: Tensor,
    locations: Tensor,
    weights: Tensor,
) -> Tensor:
    """Return the weighted sum of the values at each query's points.

    Args:
        value: (B, S, M, C).
        shapes: Height and width of every level, (L, 2).
        starts: Index among the S pixels at which every level starts, (L,).
        locations: x and y of the points, 0 to 1 over a level,
            (B, Q, M, L, P, 2).
        weights: Weight of each point, (B, Q, M, L, P).

    Returns:
        (B, Q, M * C), differentiable in value, locations and weights.
    """
    batch, pixels, heads, channels = value.shape
    queries = locations.size(1)
    dtype = compute_dtype(value)
    height, width = shapes.to(locations.device).T[..., None]  # (L, 1) each
    x, y = locations.to(dtype).unbind(-1)
    index, factor = bilinear_taps(
        y * height - 0.5, x * width - 0.5, height, width
    )  # (B, Q, M, L, P, 4) each
    index = index + starts.to(index)[:, None, None]
    image = torch.arange(batch, device=index.device).view(-1, 1, 1, 1, 1, 1)
    head = torch.arange(heads, device=index.device).view(-1, 1, 1, 1)
    index = (image * pixels + index) * heads + head
    factor = factor * weights.to(dtype)[..., None]
    rows = sum_rows(
        value.reshape(-1, channels).to(dtype),  # (B * S * M, C)
        index.flatten(3).flatten(0, 2),  # (B * Q * M, L * P * 4)
        factor.flatten(3).flatten(0, 2),  # (B * Q * M, L * P * 4)
    )
    output = rows.view(batch, queries, heads * channels)  # (B, Q, M * C)
    return output.to(value.dtype)


def chunks(value: Tensor, locations: Tensor) -> Iterator[slice]:
    """Yield ranges of queries whose samples are `MAX_ELEMENTS` at most."""
    per_query = locations[:, :1].numel() * 2 + value[:, :1].numel()
    step = max(1, MAX_ELEMENTS // max(1, per_query))
    for start in range(0, locations.size(1), step):
        yield slice(start, start + step)
