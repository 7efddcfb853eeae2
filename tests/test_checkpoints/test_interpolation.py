"""Both methods of interpolation equal their definitions."""

import pytest
import torch
import torch.nn.functional as F

from swin_dense.checkpoints.interpolation import (
    bicubic_matrix,
    geometric_matrix,
    geometric_positions,
    resize_grid,
)

# Rounding of sums of a few dozen float64 terms.
FLOAT64 = dict(rtol=0, atol=1e-12)
# The loaders that use it halve an interval for the ratio down to 1e-6; the
# outermost position is a sum of eleven powers of it.
BISECTION = dict(rtol=0, atol=2e-4)
SIZES = [
    (13, 23),
    (13, 15),
    (23, 13),
    (3, 5),
    (5, 3),
    (1, 5),
    (5, 1),
    (5, 31),
    (47, 111),
    (13, 13),
]


@pytest.mark.parametrize('source, target', SIZES)
def test_bicubic_is_that_of_pytorch(source, target):
    grid = torch.randn(source, source + 2, 2, dtype=torch.float64)
    expected = F.interpolate(
        grid.permute(2, 0, 1)[None],
        size=(target, target + 4),
        mode='bicubic',
        align_corners=False,
    )[0].permute(1, 2, 0)
    torch.testing.assert_close(
        resize_grid(grid, (target, target + 4), 'bicubic'), expected, **FLOAT64
    )


def official_positions(source, target):
    """Search the ratio as the official code of SimMIM does."""
    low, high = 1.01, 1.5
    while high - low > 1e-6:
        ratio = (low + high) / 2
        reach = (1 - ratio ** (source // 2)) / (1 - ratio)
        low, high = (low, ratio) if reach > target // 2 else (ratio, high)
    right = [sum(ratio**j for j in range(i)) for i in range(source // 2 + 1)]
    return [-x for x in right[:0:-1]] + right


@pytest.mark.parametrize('source, target', [(13, 23), (11, 27), (13, 15)])
def test_geometric_is_that_of_scipy(source, target):
    interpolate = pytest.importorskip(
        'scipy.interpolate', reason='scipy is the reference'
    )
    table = torch.randn(source, source, 2, dtype=torch.float64)
    resized = resize_grid(table, (target, target), 'geometric')
    reference = official_positions(source, target)
    model = geometric_positions(source, target).tolist()
    points = torch.arange(target) - target // 2
    for positions, tolerance in ((model, FLOAT64), (reference, BISECTION)):
        for head in range(2):
            spline = interpolate.RectBivariateSpline(
                positions, positions, table[..., head].numpy(), s=0
            )
            torch.testing.assert_close(
                resized[..., head],
                torch.from_numpy(spline(points.numpy(), points.numpy())),
                **tolerance,
            )


@pytest.mark.parametrize('source, target', SIZES)
def test_geometric_of_one_axis_is_that_of_scipy(source, target):
    interpolate = pytest.importorskip(
        'scipy.interpolate', reason='scipy is the reference'
    )
    positions = geometric_positions(source, target)
    points = torch.arange(target).double() - target // 2
    values = torch.randn(source, dtype=torch.float64)
    resized = geometric_matrix(source, target) @ values
    if source == 1:
        expected = values.expand(target)
    else:
        spline = interpolate.make_interp_spline(
            positions.numpy(), values.numpy(), k=min(3, source - 1)
        )
        inside = points.clamp(positions[0], positions[-1])
        expected = torch.from_numpy(spline(inside.numpy()))
    torch.testing.assert_close(resized, expected, **FLOAT64)


@pytest.mark.parametrize('source, target', [(13, 23), (13, 15), (47, 111)])
def test_geometric_positions(source, target):
    positions = geometric_positions(source, target)
    right = positions[source // 2 + 1 :]
    assert right[0] == 1 and abs(right[-1] - target // 2) < 1e-9
    steps = right.diff()
    torch.testing.assert_close(
        steps[1:] / steps[:-1], steps[:1].expand(len(steps) - 1), **FLOAT64
    )
    assert torch.equal(positions.flip(0), -positions)


def test_geometric_keeps_the_neighbours():
    table = torch.randn(13, 13, 2, dtype=torch.float64)
    resized = resize_grid(table, (23, 23), 'geometric')
    torch.testing.assert_close(
        resized[10:13, 10:13], table[5:8, 5:8], **FLOAT64
    )
    corners = slice(None, None, 22), slice(None, None, 12)
    torch.testing.assert_close(
        resized[corners[0]][:, corners[0]],
        table[corners[1]][:, corners[1]],
        **FLOAT64,
    )


def test_geometric_makes_smaller_by_cutting():
    table = torch.randn(23, 23, 2)
    resized = resize_grid(table, (13, 13), 'geometric')
    torch.testing.assert_close(resized, table[5:18, 5:18], rtol=0, atol=1e-6)


@pytest.mark.parametrize('method', [bicubic_matrix, geometric_matrix])
@pytest.mark.parametrize('source, target', SIZES)
def test_constants_stay(method, source, target):
    matrix = method(source, target)
    assert matrix.shape == (target, source) and matrix.dtype == torch.float64
    torch.testing.assert_close(
        matrix.sum(1), torch.ones(target, dtype=torch.float64), **FLOAT64
    )
    torch.testing.assert_close(matrix.flip(0, 1), matrix, **FLOAT64)
