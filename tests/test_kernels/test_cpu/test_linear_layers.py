"""Linear layers on the CPU."""

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip('swin_dense.kernels.cpu')
from swin_dense.kernels.cpu import linear_layers as module  # noqa: E402

linear, linear_no_grad = module.linear, module.linear_no_grad
pack_weights_once = module.pack_weights_once

SHAPES = [(5, 3, 7), (200, 96, 288), (64, 130, 33)]


def make(rows, inputs, outputs):
    """Input, weight and bias of order 1."""
    generator = torch.Generator().manual_seed(rows)
    return (
        torch.randn(rows, inputs, generator=generator),
        torch.randn(outputs, inputs, generator=generator),
        torch.randn(outputs, generator=generator),
    )


@pytest.fixture(params=[False, True], ids=['BLAS', 'oneDNN'], autouse=True)
def library(request, monkeypatch):
    monkeypatch.setattr(module, '_prefers_onednn', lambda: request.param)
    monkeypatch.setattr(module, 'WORTH_PACKING', 0)
    return request.param


@pytest.fixture
def calls(monkeypatch):
    """List that grows whenever a weight is packed."""
    made = []
    pack = torch.ops.mkldnn._reorder_linear_weight
    monkeypatch.setattr(
        torch.ops.mkldnn,
        '_reorder_linear_weight',
        lambda *args: made.append(1) or pack(*args),
    )
    return made


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
                rtol=1e-5,
            )


def test_each_weight_is_packed_for_itself():
    x, weight, bias = make(*SHAPES[1])
    square = weight[:96]
    with pack_weights_once(), pack_weights_once():
        for other in (square, square.t(), weight):
            torch.testing.assert_close(
                linear_no_grad(x, other, None),
                x @ other.t(),
                atol=1e-4,
                rtol=1e-5,
            )


def test_changed_weights_count_in_the_next_loop():
    x, weight, bias = make(*SHAPES[0])
    with pack_weights_once():
        linear_no_grad(x, weight, bias)
    weight.data.mul_(2)
    with pack_weights_once():
        torch.testing.assert_close(
            linear_no_grad(x, weight, bias), F.linear(x, weight, bias)
        )


@pytest.mark.parametrize('library', [True], indirect=True)
def test_no_weight_stays_packed_after_the_loop(calls):
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


@pytest.mark.parametrize('library', [True], indirect=True)
def test_a_weight_is_packed_once_enough_is_computed(calls, monkeypatch):
    x, weight, bias = make(*SHAPES[1])
    monkeypatch.setattr(module, 'WORTH_PACKING', 2 * len(x) * weight.numel())
    wanted = F.linear(x, weight, bias)
    with pack_weights_once():
        for expected in (0, 1, 1):
            y = linear_no_grad(x, weight, bias)
            assert len(calls) == expected
            torch.testing.assert_close(y, wanted, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize('approximate', ['none', 'tanh'])
def test_gelu_follows(approximate):
    x, weight, bias = make(*SHAPES[1])
    torch.testing.assert_close(
        linear_no_grad(x, weight, bias, approximate),
        F.gelu(F.linear(x, weight, bias), approximate=approximate),
        atol=1e-4,
        rtol=1e-5,
    )


@pytest.mark.parametrize('in_hardware', [False, True])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_is_at_least_as_exact_as_plain(
    dtype, in_hardware, monkeypatch
):
    monkeypatch.setattr(module, '_multiplies_bfloat16', lambda: in_hardware)
    x, weight, bias = make(*SHAPES[1])
    parameters = [weight.requires_grad_(), bias.requires_grad_()]
    exact = F.linear(x.double(), weight.double(), bias.double())
    exact_grads = torch.autograd.grad(exact.square().mean(), parameters)
    errors = []
    for function in (linear, F.linear):
        with torch.autocast('cpu', dtype):
            y = function(x, weight, bias)
        assert y.dtype == dtype
        grads = torch.autograd.grad(y.double().square().mean(), parameters)
        errors.append(
            [
                (a.double() - b).norm().item()
                for a, b in zip((y, *grads), (exact, *exact_grads))
            ]
        )
    for model, plain in zip(*errors):
        assert model <= 1.05 * plain


@pytest.mark.parametrize('bias', [False, True])
def test_gradients_of_a_linear_layer(bias):
    tensors = [t.double().requires_grad_() for t in make(5, 3, 7)[: 2 + bias]]
    assert torch.autograd.gradcheck(
        lambda x, weight, bias=None: linear(x, weight, bias), tensors
    )
