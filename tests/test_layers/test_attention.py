import pytest
import torch
from reference import assert_close, randomize, window_attention

from swin_dense.layers import SwinBlock, WindowAttention
from swin_dense.layers.feedforward import FeedForward
from swin_dense.ops import window_mask

EXACT = 1e-12  # float64, sums in another order
SHAPES = [((6, ), (4, ), (0, )), ((9, ), (4, ), (2, )),
          ((7, 5), (4, 3), (2, 1)), ((8, 6), (4, 3), (2, 0)),
          ((3, 2), (4, 4), (2, 2)), ((3, 5, 4), (2, 4, 2), (1, 2, 1))]


def make_block(window, dim=8, heads=2):
    return randomize(
        SwinBlock(dim, WindowAttention(dim, window, heads),
                  FeedForward(dim, 2 * dim)).double())


@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('grid, window, shift', SHAPES)
def test_equals_the_token_by_token_reference(path, grid, window, shift,
                                             masked):
    block = make_block(window).eval()
    x = torch.randn(2, *grid, 8, dtype=torch.float64)
    expected = x + torch.stack([
        window_attention(one, block.attn, window, shift, masked)
        for one in block.norm1(x)
    ])
    hidden = block.mlp.fc1(block.norm2(expected))
    expected = expected + block.mlp.fc2(torch.nn.functional.gelu(hidden))
    mask = window_mask(grid, window, shift, x, masked)
    assert_close(block(x, window, shift, mask), expected, EXACT)
    with torch.no_grad():
        assert_close(block(x, window, shift, mask), expected, EXACT)


@pytest.mark.parametrize('grid, window, shift', SHAPES)
def test_gradients_equal_the_reference(path, grid, window, shift):
    block = make_block(window)
    x = torch.randn(1, *grid, 8, dtype=torch.float64, requires_grad=True)
    inputs = [x, *block.attn.parameters()]
    grad = torch.randn(1, *grid, 8, dtype=torch.float64)
    mask = window_mask(grid, window, shift, x)
    bias = block.attn.position_bias(window)
    fast = block._mix_windows(x, window, shift, bias, mask)
    slow = window_attention(x[0], block.attn, window, shift)[None]
    for one, other in zip(
            torch.autograd.grad(fast, inputs, grad),
            torch.autograd.grad(slow, inputs, grad)):
        assert_close(one, other, EXACT * 10)


def test_gradcheck(path):
    block = make_block((2, 2), dim=4)
    x = torch.randn(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    mask = window_mask((3, 4), (2, 2), (1, 1), x)
    assert torch.autograd.gradcheck(lambda x: block(x, (2, 2), (1, 1), mask),
                                    x)


def test_tokens_beyond_the_window_change_nothing():
    block = make_block((4, 4)).eval()
    x = torch.randn(1, 8, 8, 8, dtype=torch.float64)
    other = x.clone()
    other[:, 4:] += 1  # the windows below
    with torch.no_grad():
        before = block(x, (4, 4), (0, 0), None)
        after = block(other, (4, 4), (0, 0), None)
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


def test_dropout_of_weights_acts_in_training_only():
    attention = randomize(WindowAttention(8, (2, 2), 2, attn_drop=.5))
    x = torch.randn(3, 4, 8)
    bias = attention.position_bias((2, 2))
    assert not torch.equal(attention(x, bias), attention(x, bias))
    attention.eval()
    assert torch.equal(attention(x, bias), attention(x, bias))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_stays_close_and_finite(dtype):
    block = make_block((4, 4)).float()
    x = torch.randn(1, 6, 7, 8, requires_grad=True)
    mask = window_mask((6, 7), (4, 4), (2, 2), x)
    expected = block(x, (4, 4), (2, 2), mask)
    with torch.autocast('cpu', dtype):
        out = block(x, (4, 4), (2, 2), mask)
    out.float().sum().backward()
    assert_close(out.float(), expected, .1)
    for parameter in block.parameters():
        assert parameter.grad.isfinite().all()
