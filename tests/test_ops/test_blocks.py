import pytest
import torch

from swin_dense.ops import blocks, blocks_of, in_blocks, prefers_blocks


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, 'BLOCK_BYTES', 3 * 8 * 4)  # 3 rows of 4


def test_blocks_cover_all_rows_once(small_blocks):
    x = torch.empty(8, 4, dtype=torch.float64)
    assert [(rows.start, rows.stop) for rows in blocks_of(x, 4)] == [(0, 3),
                                                                     (3, 6),
                                                                     (6, 8)]


def test_a_block_has_at_least_one_row(small_blocks):
    assert len(list(blocks_of(torch.empty(2, 4), 10**9))) == 2


def function(rows, x, weight, bias):
    return (x @ weight).tanh() * (1 + rows.start // 1000) + bias


def test_equal_to_the_plain_path(small_blocks):
    tensors = [
        torch.randn(*shape, dtype=torch.float64, requires_grad=True)
        for shape in ((8, 4), (4, 5), (5, ))
    ]
    grad = torch.randn(8, 5, dtype=torch.float64)
    plain = function(slice(0, 8), *tensors)
    expected = torch.autograd.grad(plain, tensors, grad)
    out = in_blocks(function, 4, *tensors)
    torch.testing.assert_close(out, plain, atol=1e-12, rtol=0)
    for one, other in zip(torch.autograd.grad(out, tensors, grad), expected):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


def test_gradcheck(small_blocks):
    tensors = [
        torch.randn(*shape, dtype=torch.float64, requires_grad=True)
        for shape in ((7, 4), (4, 5), (5, ))
    ]
    assert torch.autograd.gradcheck(
        lambda *args: in_blocks(function, 4, *args), tensors)


def test_where_blocks_are_used():
    x = torch.empty(2)
    assert prefers_blocks(x)
    assert not prefers_blocks(x.to('meta'))
    with torch.autocast('cpu', torch.bfloat16):
        assert not prefers_blocks(x)
