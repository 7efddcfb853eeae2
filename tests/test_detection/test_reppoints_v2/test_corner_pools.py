"""Corner pools equal a loop over positions."""

import pytest
import torch

from helpers.models import randomize
from swin_dense.detection.reppoints_v2.corner_pools import (
    BOTTOM_RIGHT,
    TOP_LEFT,
    CornerPools,
)

NORM = dict(type='GN', num_groups=2)


@pytest.mark.parametrize('directions', [TOP_LEFT, BOTTOM_RIGHT])
def test_corner_pools_position_by_position(directions):
    """At each position the maximum of what lies below and to the right, or
    above and to the left."""
    torch.manual_seed(0)
    pools = randomize(CornerPools(directions, 4, 6, NORM)).eval()
    x = torch.randn(1, 4, 5, 7)
    with torch.no_grad():
        first, second = pools.p1_conv1(x), pools.p2_conv1(x)
        pooled = torch.empty_like(first)
        for i in range(5):
            for j in range(7):
                if directions == TOP_LEFT:
                    column, row = first[..., i:, j], second[..., i, j:]
                else:
                    column = first[..., : i + 1, j]
                    row = second[..., i, : j + 1]
                pooled[..., i, j] = column.amax(-1) + row.amax(-1)
        pooled = pools.p_gn1(pools.p_conv1(pooled))
        expected = pools.conv2((pooled + pools.gn1(pools.conv1(x))).relu())
        torch.testing.assert_close(pools(x), expected)


def test_gradients():
    pools = CornerPools(TOP_LEFT, 2, 2, NORM).double()
    torch.manual_seed(0)
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pools, (x,))
