"""Interpolate position tables by one matrix for each axis.

Both methods are separable, so a table of any number of axes is multiplied by
one matrix after the other. Everything is computed in float64.

Sizes are numbers of grid points. The grid points of an axis of a bias table
are the offsets -(M - 1) ... M - 1 in a window of M tokens.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

_CUBIC = 3  # degree


def resize_grid(grid: Tensor, size: tuple[int, ...], method: str) -> Tensor:
    """Resize the first axes of a tensor; an axis of equal size is kept.

    Args:
        grid: Grid `(*old size, C)`.
        size: New number of grid points of each axis.
        method: One of `METHODS`.

    Returns:
        Grid `(*size, C)` in the same type.

    Raises:
        ValueError: If the method is not in `METHODS`.
    """
    if method not in METHODS:
        raise ValueError(
            f'method must be one of {", ".join(METHODS)}, got {method!r}'
        )
    resized = grid.double()
    for axis, (source, target) in enumerate(zip(grid.shape, size)):
        if source != target:
            matrix = METHODS[method](source, target).to(grid.device)
            # (target, other axes, C), then the axis back in its place
            resized = torch.tensordot(matrix, resized, ([1], [axis]))
            resized = resized.movedim(0, axis)
    return resized.contiguous().to(grid.dtype)


def bicubic_matrix(source: int, target: int) -> Tensor:
    """Return the matrix of bicubic `F.interpolate`, as in the official code.

    Grid points are centres of cells, and the cells are stretched to fill the
    same extent: offset d takes the value at `d * source / target`. Values
    outside of the source are those at its border.

    Args:
        source: Old number of grid points.
        target: New number of grid points.

    Returns:
        Matrix `(target, source)` in float64.
    """
    values = torch.eye(source, dtype=torch.float64)[None, None]
    return F.interpolate(
        values, size=(target, source), mode='bicubic', align_corners=False
    )[0, 0]


def geometric_matrix(source: int, target: int) -> Tensor:
    """Return the matrix of a spline through geometrically spaced positions.

    The old values are moved outwards to `geometric_positions`: each step from
    the centre is longer than the step before by the same ratio, the first
    step has length 1, and the last one ends at the border of the target. The
    cubic spline through these positions (not-a-knot) is evaluated at the new
    offsets. The method comes from BEiT; the official code that fine-tunes
    SimMIM uses it for Swin.

    Args:
        source: Old number of grid points.
        target: New number of grid points.

    Returns:
        Matrix `(target, source)` in float64.
    """
    offsets = torch.arange(target, dtype=torch.float64) - target // 2
    return _spline_matrix(geometric_positions(source, target), offsets)


METHODS: dict[str, Callable[[int, int], Tensor]] = dict(
    bicubic=bicubic_matrix, geometric=geometric_matrix
)


def geometric_positions(source: int, target: int) -> Tensor:
    """Return the positions of the old values for `geometric_matrix`.

    The ratio is at least 1, since values must not come closer than tokens
    are. For a smaller target it is 1, which cuts off the border. (The
    official code searches the ratio between 1.01 and 1.5, to 1e-6.)

    Args:
        source: Old number of grid points, odd.
        target: New number of grid points, odd.

    Returns:
        Positions `(source,)` in units of the new offsets, symmetric around 0,
        in float64.
    """
    steps, reach = source // 2, target // 2
    low, high = 1.0, float(max(reach, 1))
    powers = torch.arange(steps, dtype=torch.float64)
    # Bisection, down to the spacing of float64.
    for _ in range(64):
        ratio = (low + high) / 2
        if (ratio**powers).sum() > reach:
            high = ratio
        else:
            low = ratio
    right = (low**powers).cumsum(0)
    return torch.cat([-right.flip(0), torch.zeros(1).double(), right])


def _spline_matrix(positions: Tensor, points: Tensor) -> Tensor:
    """Return the matrix of a spline, from values at positions to points.

    The spline is cubic and not-a-knot, or of lower degree if there are fewer
    than four values. Points outside of the positions take the value at the
    border.

    Args:
        positions: Positions `(S,)` of the known values, rising.
        points: Points `(T,)` to evaluate the spline at.

    Returns:
        Matrix `(T, S)`.
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
    """Evaluate all B-splines of a degree by the Cox-de Boor recursion.

    Args:
        points: Points `(P,)` within the knots.
        knots: Knots `(K,)`, in rising order; knots may repeat.
        degree: Degree of the polynomials.

    Returns:
        Values `(P, K - degree - 1)`.
    """
    x = points[:, None]  # (P, 1)
    # The interval of each point; the last knot belongs to the last interval.
    interval = torch.searchsorted(knots, points, right=True) - 1
    interval = interval.clamp(max=len(knots) - degree - 2)
    splines = F.one_hot(interval, len(knots) - 1).double()
    for k in range(1, degree + 1):
        width = knots[k:] - knots[:-k]
        share = (x - knots[:-k]) / width.where(width > 0, torch.inf)
        rising = share * splines
        falling = (1 - share) * splines
        # A spline over an interval without width is 0.
        falling = falling.where(width > 0, 0)
        splines = rising[:, :-1] + falling[:, 1:]
    return splines
