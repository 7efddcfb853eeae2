import pytest
import torch

from helpers.models import randomize
from helpers.reference import assert_close, window_attention
from swin_dense.kernels import choose
from swin_dense.layers import FeedForward, SwinBlock, WindowAttention
from swin_dense.ops import WindowLayout

EXACT = 1e-12  # float64, sums in another order
SHAPES = [
    ((6,), (4,), (0,)),
    ((9,), (4,), (2,)),
    ((7, 5), (4, 3), (2, 1)),
    ((8, 6), (4, 3), (2, 0)),
    ((3, 2), (4, 4), (2, 2)),
    ((3, 5, 4), (2, 4, 2), (1, 2, 1)),
]


def lay_out(grid, window, shift, masked=False):
    return WindowLayout(
        grid, window, shift, 'roll', masked, WindowAttention.mask_value
    )


def make_block(window, dim=8, heads=2):
    return randomize(
        SwinBlock(
            dim, WindowAttention(dim, window, heads), FeedForward(dim, 2 * dim)
        ).double()
    )


@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('grid, window, shift', SHAPES)
def test_equals_the_token_by_token_reference(
    each_kernels, grid, window, shift, masked
):
    block = make_block(window).eval()
    x = torch.randn(2, *grid, 8, dtype=torch.float64)
    expected = x + torch.stack(
        [
            window_attention(first, block.attn, window, shift, masked)
            for first in block.norm1(x)
        ]
    )
    hidden = block.mlp.fc1(block.norm2(expected))
    expected = expected + block.mlp.fc2(torch.nn.functional.gelu(hidden))
    layout = lay_out(grid, window, shift, masked)
    assert_close(block(x, layout), expected, EXACT)
    with torch.no_grad():
        assert_close(block(x, layout), expected, EXACT)


@pytest.mark.parametrize('grid, window, shift', SHAPES)
def test_gradients_equal_the_reference(each_kernels, grid, window, shift):
    block = make_block(window)
    x = torch.randn(1, *grid, 8, dtype=torch.float64, requires_grad=True)
    inputs = [x, *block.attn.parameters()]
    grad = torch.randn(1, *grid, 8, dtype=torch.float64)
    fast = block.attn(x, lay_out(grid, window, shift), choose(x))
    slow = window_attention(x[0], block.attn, window, shift)[None]
    for first, second in zip(
        torch.autograd.grad(fast, inputs, grad),
        torch.autograd.grad(slow, inputs, grad),
    ):
        assert_close(first, second, EXACT * 10)


def test_gradcheck(each_kernels):
    block = make_block((2, 2), dim=4)
    x = torch.randn(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    layout = lay_out((3, 4), (2, 2), (1, 1))
    assert torch.autograd.gradcheck(lambda x: block(x, layout), x)


def test_tokens_beyond_the_window_change_nothing():
    block = make_block((4, 4)).eval()
    x = torch.randn(1, 8, 8, 8, dtype=torch.float64)
    other = x.clone()
    other[:, 4:] += 1  # the windows below
    with torch.no_grad():
        layout = lay_out((8, 8), (4, 4), (0, 0))
        before, after = block(x, layout), block(other, layout)
    assert torch.equal(before[:, :4], after[:, :4])
    assert (before[:, 4:] != after[:, 4:]).any(-1).all()


def test_smaller_window_finds_its_bias_by_offset():
    attention = randomize(WindowAttention(8, (5, 4), 2))
    bias = attention.position_bias((2, 3))
    table = attention.relative_position_bias_table.unflatten(0, (9, 7))
    for q in range(6):
        for k in range(6):
            row, column = q // 3 - k // 3, q % 3 - k % 3
            assert torch.equal(bias[:, q, k], table[row + 4, column + 3])


def test_heads_must_divide_the_channels():
    with pytest.raises(ValueError, match='num_heads=3 for 8 channels'):
        WindowAttention(8, (4, 4), 3)


def test_dropout_of_weights_acts_in_training_only(each_kernels):
    attention = randomize(WindowAttention(8, (2, 2), 2, attn_drop=0.5))
    x = torch.randn(1, 4, 6, 8)
    layout, kernels = lay_out((4, 6), (2, 2), (0, 0)), choose(x)
    first, second = (attention(x, layout, kernels) for _ in range(2))
    assert not torch.equal(first, second)
    attention.eval()
    first, second = (attention(x, layout, kernels) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_stays_close_and_finite(dtype):
    block = make_block((4, 4)).float()
    x = torch.randn(1, 6, 7, 8, requires_grad=True)
    layout = lay_out((6, 7), (4, 4), (2, 2))
    expected = block(x, layout)
    with torch.autocast('cpu', dtype):
        out = block(x, layout)
    out.float().sum().backward()
    assert_close(out.float(), expected, 0.1)
    for parameter in block.parameters():
        assert parameter.grad.isfinite().all()
