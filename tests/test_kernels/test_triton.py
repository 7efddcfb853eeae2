"""The operator in Triton against plain kernels; without a GPU, interpreted."""

from math import prod
from typing import NamedTuple

import pytest
import torch

from swin_dense.kernels import AttentionTerms, PlainKernels
from swin_dense.kernels.triton import why_unusable
from swin_dense.ops import HARD_MASK_VALUE, SizeCache, WindowLayout

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
OBSTACLE = why_unusable(DEVICE, None)
pytestmark = pytest.mark.skipif(OBSTACLE is not None, reason=str(OBSTACLE))
# Of the largest value. In the interpreter products of bfloat16 are wrong.
TOLERANCE = {torch.float32: 4e-6, torch.float16: 6e-3}
if DEVICE == 'cuda':
    TOLERANCE[torch.bfloat16] = 4e-2


class Case(NamedTuple):
    grid: tuple
    window: tuple
    shift: tuple
    heads: int = 1
    head_dim: int = 32
    cosine: bool = False
    mask_padding: bool = False
    batch: int = 1


CASES = {
    'window 7': Case((7, 14), (7, 7), (0, 0), 2),
    'window 7, shifted': Case((14, 14), (7, 7), (3, 3)),
    'window 7, padded': Case((5, 8), (7, 7), (3, 3), batch=2),
    'window 7, padding masked': Case(
        (5, 8), (7, 7), (3, 3), 2, 32, False, True
    ),
    'below the window': Case((5, 4), (7, 7), (3, 3), 2),
    'shrunken window': Case((5, 9), (5, 7), (0, 3)),
    'window 8, cosines': Case((8, 9), (8, 8), (0, 4), 1, 32, True),
    'window 8, cosines, padding masked': Case(
        (7, 9), (8, 8), (4, 4), 2, 32, True, True
    ),
    'window 12, two blocks': Case((12, 13), (12, 12), (0, 6)),
    'window 12, heads of 44': Case((12, 12), (12, 12), (0, 0), 1, 44),
    'window 16, cosines': Case((16, 15), (16, 16), (8, 0), 1, 32, True, True),
    'one axis': Case((10,), (4,), (2,)),
    'three axes': Case((3, 4, 5), (2, 2, 3), (1, 1, 1), 1, 16),
    'window 8x7x7': Case((8, 7, 6), (8, 7, 7), (0, 3, 0)),
    'window 24, cosines': Case((24, 22), (24, 24), (12, 0), 1, 32, True, True),
}


def attend_by_operator(qkv, layout, terms):
    from swin_dense.kernels.triton import operator

    tokens, head_dim = terms.bias.shape[-1], qkv.shape[-1] // 3
    head_dim //= len(terms.bias)
    if DEVICE == 'cuda' and not operator.choose_num_stages(
        qkv.device, tokens, head_dim, qkv.element_size()
    ):
        pytest.skip('does not fit the shared memory of this GPU')
    return operator.attend(qkv, layout, terms)


def run(attend, case, dtype, wide):
    """Return the output and all gradients."""
    torch.manual_seed(0)
    tokens, channels = prod(case.window), case.heads * case.head_dim
    inputs = [
        torch.randn(case.batch, *case.grid, 3 * channels),
        torch.randn(case.heads, tokens, tokens),
        torch.randn(3 * channels),
        torch.rand(case.heads, 1, 1) * 8 if case.cosine else None,
    ]
    grad = torch.randn(case.batch, *case.grid, channels)
    # As under autocast: the map is narrow, parameters are not.
    types = [dtype, *[torch.float64 if wide else torch.float32] * 3]
    # A map that cannot hold its numbers exactly would tell nothing.
    inputs[0], grad = inputs[0].to(dtype), grad.to(dtype)
    if wide:
        types[0] = torch.float64
    inputs = [
        x if x is None else x.to(DEVICE, kind).requires_grad_()
        for x, kind in zip(inputs, types)
    ]
    qkv, bias, padding, cosine = inputs
    terms = AttentionTerms(
        bias, padding, 1.0 if case.cosine else case.head_dim**-0.5, cosine
    )
    layout = WindowLayout(
        case.grid,
        case.window,
        case.shift,
        'roll',
        case.mask_padding,
        HARD_MASK_VALUE if case.mask_padding else -100.0,
    )
    out = attend(qkv, layout, terms)
    out.backward(grad.to(DEVICE, out.dtype))
    # Plain kernels return no gradient of padding that is not there.
    return [out.detach()] + [
        torch.zeros_like(x) if x.grad is None else x.grad
        for x in inputs
        if x is not None
    ]


def compare(case, dtype):
    plain = PlainKernels(SizeCache()).window_attention
    expected = run(plain, case, dtype, True)
    results = run(attend_by_operator, case, dtype, False)
    names = ('output', 'qkv', 'bias', 'padding', 'cosine')
    for name, result, other in zip(names, results, expected):
        scale = other.abs().max().clamp(min=1e-3)
        difference = (result.double() - other).abs().max() / scale
        assert difference < TOLERANCE[dtype], (name, difference.item())
    assert len(results) == len(expected) == 4 + case.cosine
    return results


@pytest.mark.parametrize(
    'name',
    [
        # The set passes windows of so many tokens on.
        pytest.param(name, marks=[pytest.mark.slow] * ('24' in name))
        for name in CASES
    ],
)
def test_equal_to_the_plain_ones(name):
    compare(CASES[name], torch.float32)


@pytest.mark.parametrize(
    'name',
    [
        'window 7, padded',
        'window 8, cosines, padding masked',
        'three axes',
        pytest.param('window 12, two blocks', marks=pytest.mark.slow),
        pytest.param('window 8x7x7', marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize('dtype', [d for d in TOLERANCE if d.itemsize == 2])
def test_equal_in_16_bits(name, dtype):
    results = compare(CASES[name], dtype)
    assert results[0].dtype == results[1].dtype == dtype
    assert all(x.dtype == torch.float32 for x in results[2:])
