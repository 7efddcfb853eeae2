"""Attention and block of Swin V2 equal the slow reference."""

from math import log

import pytest
import torch
from torch.nn import functional as F

from helpers.models import randomize
from helpers.reference import assert_close, log_bias, window_attention
from swin_dense.kernels import choose, plain, use
from swin_dense.layers import (
    CosineAttention,
    FeedForward,
    SwinBlock,
    WindowAttention,
)
from swin_dense.ops import SizeCache, WindowLayout, window_mask

EXACT = 1e-12  # float64, sums in another order
SHAPES = [
    ((6,), (4,), (0,)),
    ((9,), (4,), (2,)),
    ((7, 5), (4, 3), (2, 1)),
    ((8, 6), (4, 3), (2, 0)),
    ((3, 1), (3, 1), (0, 0)),
    ((3, 5, 4), (2, 4, 2), (1, 2, 1)),
]


def lay_out(grid, window, shift, masked=False):
    return WindowLayout(
        grid, window, shift, 'roll', masked, CosineAttention.mask_value
    )


def mix(attention, windows, window, mask=None):
    """Attend within windows `(n, N, C)`."""
    shared = attention.prepare(window, SizeCache())
    return attention.mix(windows, shared, mask, choose(windows))


def make_attention(window, dim=8, heads=2, **kwargs):
    return randomize(CosineAttention(dim, window, heads, **kwargs).double())


def make_block(window, dim=8, heads=2, extra_norm=False, **kwargs):
    return randomize(
        SwinBlock(
            dim,
            CosineAttention(dim, window, heads, **kwargs),
            FeedForward(dim, 2 * dim),
            post_norm=True,
            extra_norm=extra_norm,
        ).double()
    )


def slow_block(block, x, window, shift, masked):
    """Compute the block by the reference, each norm after its branch."""
    mixed = torch.stack(
        [
            window_attention(first, block.attn, window, shift, masked)
            for first in x
        ]
    )
    x = x + block.norm1(mixed)
    x = x + block.norm2(block.mlp.fc2(F.gelu(block.mlp.fc1(x))))
    return x if block.norm3 is None else block.norm3(x)


@pytest.mark.parametrize('masked, extra_norm', [(False, False), (True, True)])
@pytest.mark.parametrize('grid, window, shift', SHAPES)
def test_equals_the_token_by_token_reference(
    each_kernels, grid, window, shift, masked, extra_norm
):
    block = make_block(window, extra_norm=extra_norm).eval()
    x = torch.randn(2, *grid, 8, dtype=torch.float64)
    expected = slow_block(block, x, window, shift, masked)
    layout = lay_out(grid, window, shift, masked)
    assert_close(block(x, layout), expected, EXACT)
    with torch.no_grad():
        assert_close(block(x, layout), expected, EXACT)


@pytest.mark.parametrize('sequential', [False, True])
@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('grid, window, shift', SHAPES)
def test_gradients_equal_the_reference(
    each_kernels, grid, window, shift, masked, sequential
):
    block = make_block(window, sequential=sequential)
    x = torch.randn(1, *grid, 8, dtype=torch.float64, requires_grad=True)
    inputs = [x, *block.attn.parameters()]
    grad = torch.randn(1, *grid, 8, dtype=torch.float64)
    fast = block.attn(x, lay_out(grid, window, shift, masked), choose(x))
    slow = window_attention(x[0], block.attn, window, shift, masked)[None]
    for first, second in zip(
        torch.autograd.grad(fast, inputs, grad),
        torch.autograd.grad(slow, inputs, grad),
    ):
        assert_close(first, second, EXACT * 100)


def test_gradcheck(each_kernels):
    block = make_block((2, 2), dim=4)
    x = torch.randn(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    layout = lay_out((3, 4), (2, 2), (1, 1), True)
    assert torch.autograd.gradcheck(lambda x: block(x, layout), x)


@pytest.mark.parametrize(
    'window, pretrained',
    [
        ((2, 3), None),
        ((4, 4), None),
        ((4, 2), (3, 3)),
        ((1, 4), (1, 1)),
        ((3, 1, 2), (0, 0, 0)),
    ],
)
def test_bias_is_evaluated_by_coordinates(window, pretrained):
    nominal = (4,) * len(window)
    attention = make_attention(nominal, pretrained_window_size=pretrained)
    bias = attention.position_bias(window)
    tokens = torch.cartesian_prod(*map(torch.arange, window)).tolist()
    for q, query in enumerate(tokens):
        for k, key in enumerate(tokens):
            offset = [a - b for a, b in zip(query, key)]
            assert_close(
                bias[:, q, k], log_bias(attention, offset, window), EXACT
            )


def test_bias_of_an_offset_by_hand():
    attention = CosineAttention(4, (3, 2), 2)
    first, _, last = attention.cpb_mlp
    for layer in (first, last):
        torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(first.bias)
    first.weight.data[0] = torch.tensor([1.0, 0])
    last.weight.data[0, 0] = 1
    bias = attention.position_bias((3, 2))
    assert bias[1].eq(8).all()  # 16 * sigmoid(0)
    # One row down, half of the far side: log2(1 + 4) / 3 through the ReLU.
    expected = 16 / (1 + 2.718281828 ** -(log(5, 2) / 3))
    assert bias[0, 2, 0].item() == pytest.approx(expected)
    assert bias[0, 0, 2] == 8


def test_pretrained_window_keeps_the_bias_of_an_offset():
    attention = make_attention((8, 8), pretrained_window_size=(4, 4))
    small, large = (attention.position_bias(w) for w in ((4, 4), (8, 8)))
    assert_close(large[:, 8 * 3 + 2, 8], small[:, 4 * 3 + 2, 4], EXACT)
    free = make_attention((8, 8))
    assert (
        free.position_bias((4, 4))[0, 1, 0]
        != free.position_bias((8, 8))[0, 1, 0]
    )


def test_keys_have_no_bias_and_the_factor_is_clamped():
    attention = make_attention((2, 2), dim=4, heads=1)
    names = {name for name, _ in attention.named_parameters()}
    assert names == {
        'logit_scale',
        'q_bias',
        'v_bias',
        'qkv.weight',
        'proj.weight',
        'proj.bias',
        'cpb_mlp.0.weight',
        'cpb_mlp.0.bias',
        'cpb_mlp.2.weight',
    }
    x = torch.randn(3, 4, 4, dtype=torch.float64)
    outputs = []
    for scale in (log(100), 9):
        torch.nn.init.constant_(attention.logit_scale, scale)
        outputs.append(mix(attention, x, (2, 2)))
    assert_close(*outputs, EXACT)
    without = CosineAttention(4, (2, 2), 1, qkv_bias=False)
    assert 'q_bias' not in without.state_dict()
    assert mix(without, x.float(), (2, 2)).shape == x.shape


def test_masked_keys_stay_hidden_at_the_clamp():
    # Only the masked key equals the query: its logit is 200 above the other.
    attention = CosineAttention(2, (2,), 1).double()
    with torch.no_grad():
        attention.qkv.weight.copy_(
            torch.tensor([[1.0, 0], [0, 0], [1, 0], [0, 0], [0, 1], [0, 1]])
        )
        attention.logit_scale.fill_(log(100))
        attention.proj.weight.copy_(torch.eye(2))
        attention.proj.bias.zero_()
    windows = torch.tensor([[[-1.0, 3], [1, 7]]], dtype=torch.float64)
    mask = window_mask(lay_out((1,), (2,), (0,), True)).for_windows()
    with torch.no_grad():
        for layer in (attention.cpb_mlp[0], attention.cpb_mlp[2]):
            layer.weight.zero_()
        assert mix(attention, windows, (2,))[0, 1].tolist() == [7, 7]
        hidden = windows.clone()
        hidden[:, 0, 0] = 1  # the query now equals the hidden key
        mixed = mix(attention, hidden, (2,), mask.double())
        assert mixed[0, 0].tolist() == [3, 3]


def test_short_vectors_have_bounded_gradients():
    q = torch.tensor([[0.0, 0], [1e-6, 0], [3, 4]], requires_grad=True)
    unit, _ = plain._scaled_directions(
        torch.stack([q, q])[None], torch.ones(1, 1, 1)
    )[0]
    assert_close(unit[2], torch.tensor([0.6, 0.8]), 1e-6)
    unit.sum().backward()
    assert q.grad.isfinite().all() and q.grad.abs().max() <= 1.01e4


@pytest.mark.parametrize('cls', [WindowAttention, CosineAttention])
def test_sequential_attention_does_not_drop_weights(cls):
    with pytest.raises(ValueError, match='attn_drop=0.1: set it to 0'):
        cls(8, (2, 2), 2, attn_drop=0.1, sequential=True)


@pytest.mark.parametrize('cls', [WindowAttention, CosineAttention])
@pytest.mark.parametrize('dtype', [None, torch.bfloat16, torch.float16])
def test_sequential_equals_plain(cls, dtype, monkeypatch):
    monkeypatch.setattr(plain, 'CPU_CHUNK_BYTES', 5000)  # 2 windows
    attention = randomize(cls(8, (4, 4), 2))
    x = torch.randn(1, 9, 10, 8, requires_grad=True)
    layout = lay_out((9, 10), (4, 4), (2, 2))
    results = []
    for sequential in (False, True):
        attention.sequential = sequential
        with torch.autocast('cpu', dtype, enabled=dtype is not None):
            with use('plain'):
                out = attention(x, layout, choose(x))
        assert out.dtype == (dtype or torch.float32)
        grads = torch.autograd.grad(
            out.float().square().sum(), [x, *attention.parameters()]
        )
        results.append((out.float(), *grads))
    tolerance = 1e-5 if dtype is None else 0.06
    for first, second in zip(*results):
        scale = max(1.0, second.abs().max().item())
        assert_close(first / scale, second / scale, tolerance)
