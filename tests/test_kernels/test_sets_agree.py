"""Every set of kernels gives what the plain ones give."""

import pytest
import torch

from helpers.kernel_sets import CASES, using
from helpers.models import randomize
from helpers.reference import assert_close
from swin_dense.layers import (
    CosineAttention,
    FeedForward,
    HeadMixingAttention,
    PatchMerging,
    SpatialMLP,
    SwinBlock,
    WindowAttention,
)
from swin_dense.ops import WindowLayout

MIXERS = {
    'V1': WindowAttention,
    'V2': CosineAttention,
    'Swin-MLP': SpatialMLP,
    'Mini-Swin': HeadMixingAttention,
}
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}
# Grid, nominal window, window in use, shift.
LAYOUTS = {
    'one axis': ((12,), (4,), (4,), (0,)),
    'shift': ((8, 12), (4, 3), (4, 3), (2, 1)),
    'padding and shift': ((7, 10), (4, 3), (4, 3), (2, 1)),
    'shrunken window': ((3, 10), (4, 4), (3, 4), (0, 2)),
    'one window': ((4, 4), (4, 4), (4, 4), (0, 0)),
    'one window, larger than the map': ((2, 3), (4, 4), (4, 4), (2, 2)),
    'three axes': ((3, 5, 4), (2, 4, 2), (2, 4, 2), (1, 2, 1)),
}
SOME_LAYOUTS = ('shrunken window', 'one window, larger than the map')


def run(block, merging, x, layout, case, dropout):
    """Output with and without gradients, and all gradients."""
    with using(case, 3000):
        torch.manual_seed(1)
        block.train()
        out = block(x, layout)
        if len(layout.grid) > 1:
            out = merging(out)
        weights = [*block.parameters(), x]
        generator = torch.Generator().manual_seed(2)
        grad = torch.randn(out.shape, generator=generator, dtype=out.dtype)
        grads = torch.autograd.grad(out, weights, grad)
        block.eval()
        with torch.no_grad():
            evaluated = block(x, layout)
            again = block.train(bool(dropout)).eval()(x, layout)
    assert torch.equal(evaluated, again)
    return [out, evaluated, *grads]


@pytest.mark.parametrize('dropout', [0.0, 0.3])
@pytest.mark.parametrize('mask_padding', [False, True])
@pytest.mark.parametrize('member', MIXERS)
@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize(
    'case, name',
    [
        pytest.param(
            case,
            name,
            # The interpreter is; test_triton.py has these layouts, too.
            marks=[pytest.mark.slow]
            * (case == 'triton' and name not in SOME_LAYOUTS),
        )
        for case in CASES
        if case != 'plain'
        for name in LAYOUTS
    ],
)
def test_equal_to_the_plain_ones(
    case, name, dtype, member, mask_padding, dropout
):
    if case == 'triton' and dtype == torch.float64:
        pytest.skip('the operator in Triton has no float64')
    if case == 'triton' and (dropout or member not in ('V1', 'V2')):
        pytest.skip('the set in Triton does here what that for CUDA does')
    grid, nominal, window, shift = LAYOUTS[name]
    mixer, post_norm = MIXERS[member], member == 'V2'
    # Windows that are mixed in another order draw other numbers.
    by_windows = mixer in (SpatialMLP, HeadMixingAttention)
    dropouts = {} if by_windows else dict(attn_drop=dropout, proj_drop=dropout)
    if mixer is SpatialMLP and window != nominal:
        pytest.skip('its weights are for windows of one size')
    block = randomize(
        SwinBlock(
            8,
            mixer(8, nominal, 2, **dropouts),
            FeedForward(8, 32, dropout),
            drop_path=dropout,
            post_norm=post_norm,
            extra_norm=post_norm,
        )
    ).to(dtype)
    merging = randomize(PatchMerging(8, post_norm=post_norm)).to(dtype)
    layout = WindowLayout(
        grid, window, shift, mixer.shifts_by, mask_padding, mixer.mask_value
    )
    batch = 1 if case == 'triton' else 3  # its interpreter is slow
    x = torch.randn(batch, *grid, 8, dtype=dtype, requires_grad=True)
    expected = run(block, merging, x, layout, 'plain', dropout)
    results = run(block, merging, x, layout, case, dropout)
    for result, other in zip(results, expected):
        scale = max(1.0, other.abs().max().item())
        assert_close(result / scale, other / scale, TOLERANCE[dtype])
