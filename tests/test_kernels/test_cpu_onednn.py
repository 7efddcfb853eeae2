"""Linear layers for inference."""
import pytest
import torch
import torch.nn.functional as F

pytest.importorskip('swin_dense.kernels.cpu')
from swin_dense.kernels.cpu import onednn  # noqa: E402

linear, linear_no_grad = onednn.linear, onednn.linear_no_grad
pack_weights_once = onednn.pack_weights_once

SHAPES = [(5, 3, 7), (200, 96, 288), (64, 130, 33)]


def make(rows, inputs, outputs):
    """Input, weight and bias of order 1."""
    generator = torch.Generator().manual_seed(rows)
    return (torch.randn(rows, inputs, generator=generator),
            torch.randn(outputs, inputs, generator=generator),
            torch.randn(outputs, generator=generator))


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('transposed', [False, True])
def test_packed_weights_give_the_plain_result(shape, transposed):
    x, weight, bias = make(*shape)
    if transposed:
        weight = weight.t().contiguous().t()
    wanted = F.linear(x, weight, bias)
    with pack_weights_once():
        for rows in (slice(0, 3), slice(3, None), slice(0, 3)):
            torch.testing.assert_close(
                linear_no_grad(x[rows], weight, bias),
                wanted[rows],
                atol=1e-4,
                rtol=1e-5)


def test_each_weight_is_packed_for_itself():
    x, weight, bias = make(*SHAPES[1])
    square = weight[:96]
    with pack_weights_once(), pack_weights_once():
        for other in (square, square.t(), weight):
            torch.testing.assert_close(
                linear_no_grad(x, other, None),
                x @ other.t(),
                atol=1e-4,
                rtol=1e-5)


def test_changed_weights_count_in_the_next_loop():
    x, weight, bias = make(*SHAPES[0])
    with pack_weights_once():
        linear_no_grad(x, weight, bias)
    weight.data.mul_(2)
    with pack_weights_once():
        torch.testing.assert_close(
            linear_no_grad(x, weight, bias), F.linear(x, weight, bias))


def test_no_weight_stays_packed_after_the_loop(monkeypatch):
    calls = []
    pack = torch.ops.mkldnn._reorder_linear_weight
    monkeypatch.setattr(torch.ops.mkldnn, '_reorder_linear_weight',
                        lambda *args: calls.append(1) or pack(*args))
    x, weight, bias = make(*SHAPES[1])
    with pack_weights_once():
        linear_no_grad(x, weight, bias)
        linear_no_grad(x, weight, bias)
    assert len(calls) == 1
    with pack_weights_once():
        linear_no_grad(x, weight, bias)
    assert len(calls) == 2
    linear_no_grad(x, weight, bias)
    assert len(calls) == 2


@pytest.mark.parametrize('bias', [False, True])
def test_gradients_of_a_linear_layer(bias):
    tensors = [t.double().requires_grad_() for t in make(5, 3, 7)[:2 + bias]]
    assert torch.autograd.gradcheck(
        lambda x, weight, bias=None: linear(x, weight, bias), tensors)
