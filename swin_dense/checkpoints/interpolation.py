"""Interpolation of position tables, as one matrix for each axis.

Both methods are separable, so that a table of any number of axes is resized
by one matrix after the other. Everything is computed in float64.

Sizes are numbers of grid points of an axis. Along each axis of a bias table
these are the offsets -(M - 1) ... M - 1 of a window of M tokens.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

_CUBIC = 3  # degree


def resize_grid(grid: Tensor, size: tuple[int, ...], method: str) -> Tensor:
    """Resize the first axes of a tensor; an axis of equal size is kept.

    Args:
        grid: `(*axes, C)`.
        size: New number of grid points of each axis.
        method: One of `METHODS`.

    Returns:
        `(*size, C)` in the same type.

    Raises:
        ValueError: If there is no such method.
    """
    if method not in METHODS:
        raise ValueError(
            f'method must be one of {", ".join(METHODS)}, got {method!r}'
        )
    resized = grid.double()
    for axis, (source, target) in enumerate(zip(grid.shape, size)):
        if source != target:
            matrix = METHODS[method](source, target).to(grid.device)
            resized = torch.tensordot(matrix, resized, ([1], [axis]))
            resized = resized.movedim(0, axis)
    return resized.contiguous().to(grid.dtype)


def bicubic_matrix(source: int, target: int) -> Tensor:
    """Cubic convolution as of `F.interpolate`, which the official code uses.

    Grid points are centres of cells, and the cells are stretched to fill the
    same extent: offset d takes the value at `d * source / target`. Outside of
    the source its border goes on.

    Returns:
        `(target, source)` in float64.
    """
    values = torch.eye(source, dtype=torch.float64)[None, None]
    return F.interpolate(
        values, size=(target, source), mode='bicubic', align_corners=False
    )[0, 0]


def geometric_matrix(source: int, target: int) -> Tensor:
    """Cubic spline through positions in geometric progression.

    The source's values are moved outwards, each step longer than the one
    before by the same ratio, such that the first keeps its distance of 1 and
    the last comes to the target's border. The spline through them (continuous
    third derivative at the second and the last but one) is read at the
    target's offsets. BEiT introduced this; the loader that fine-tunes SimMIM
    does it for Swin.

    Returns:
        `(target, source)` in float64.
    """
    offsets = torch.arange(target, dtype=torch.float64) - target // 2
    return _spline_matrix(geometric_positions(source, target), offsets)


METHODS: dict[str, Callable[[int, int], Tensor]] = dict(
    bicubic=bicubic_matrix, geometric=geometric_matrix
)


def geometric_positions(source: int, target: int) -> Tensor:
    """Where `geometric_matrix` puts the source's values, in target's offsets.

    A ratio below 1 would bring values closer than tokens are: for a smaller
    target it is 1, which cuts the border off. (The official loader looks for
    the ratio between 1.01 and 1.5, and to 1e-6.)

    Args:
        source: Odd number of grid points.
        target: Odd number of grid points.

    Returns:
        `(source,)` positions, symmetric around 0, in float64.
    """
    steps, reach = source // 2, target // 2
    low, high = 1.0, float(max(reach, 1))
    powers = torch.arange(steps, dtype=torch.float64)
    # Halving an interval down to the spacing of float64.
    for _ in range(64):
        ratio = (low + high) / 2
        if (ratio**powers).sum() > reach:
            high = ratio
        else:
            low = ratio
    right = (low**powers).cumsum(0)
    return torch.cat([-right.flip(0), torch.zeros(1).double(), right])


def _spline_matrix(positions: Tensor, points: Tensor) -> Tensor:
    """Values at `points` of the spline through values at `positions`.

    Cubic and not-a-knot; of lower degree where there are fewer values than
    four. Outside of the positions the border goes on.
    """
    count = len(positions)
    if count == 1:
        return torch.ones(len(points), 1, dtype=torch.float64)
    degree = min(_CUBIC, count - 1)
    ends = positions[:1].expand(degree + 1), positions[-1:].expand(degree + 1)
    knots = torch.cat([ends[0], positions[2:-2], ends[1]])
    at_points = _b_splines(
        points.clamp(positions[0], positions[-1]), knots, degree
    )
    at_positions = _b_splines(positions, knots, degree)
    return torch.linalg.solve(at_positions, at_points, left=False)


def _b_splines(points: Tensor, knots: Tensor, degree: int) -> Tensor:
    """All B-splines of a degree at the points, by the Cox-de Boor recursion.

    Args:
        points: `(P,)` within the knots.
        knots: `(K,)`, not falling.
        degree: Of the polynomials.

    Returns:
        `(P, K - degree - 1)`.
    """
    x = points[:, None]
    # The interval of a point; the last knot belongs to the one before it.
    interval = torch.searchsorted(knots, points, right=True) - 1
    interval = interval.clamp(max=len(knots) - degree - 2)
    splines = F.one_hot(interval, len(knots) - 1).double()
    for k in range(1, degree + 1):
        width = knots[k:] - knots[:-k]
        share = (x - knots[:-k]) / width.where(width > 0, torch.inf)
        rising = share * splines
        falling = (1 - share) * splines
        # An interval without width has no spline: its share is 0, not 1.
        falling = falling.where(width > 0, 0)
        splines = rising[:, :-1] + falling[:, 1:]
    return splines
