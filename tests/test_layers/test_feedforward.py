import pytest
import torch
from torch.nn import functional as F

from helpers.models import randomize
from helpers.reference import assert_close
from swin_dense.layers import FeedForward


def plain(network, x):
    return network.fc2(network.act(network.fc1(x)))


@pytest.mark.parametrize(
    'activation',
    [torch.nn.GELU, lambda: torch.nn.GELU(approximate='tanh'), torch.nn.ReLU],
)
def test_equal_to_the_plain_path(each_kernels, activation):
    network = randomize(FeedForward(6, 24, activation=activation).double())
    x = torch.randn(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    inputs = [x, *network.parameters()]
    expected = plain(network, x)
    out = network(x)
    assert_close(out, expected, 1e-12)
    grad = torch.randn_like(out)
    for first, second in zip(
        torch.autograd.grad(out, inputs, grad),
        torch.autograd.grad(expected, inputs, grad),
    ):
        assert_close(first, second, 1e-12)
    with torch.no_grad():
        assert_close(network(x), expected, 1e-12)


def test_gradcheck(each_kernels):
    network = randomize(FeedForward(3, 6).double())
    x = torch.randn(11, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, x)


def test_frozen_layers_take_no_gradient():
    network = randomize(FeedForward(4, 8))
    network.fc1.requires_grad_(False)
    x = torch.randn(5, 4, requires_grad=True)
    network(x).sum().backward()
    assert network.fc1.weight.grad is None
    assert network.fc2.weight.grad.abs().sum() > 0
    assert x.grad.abs().sum() > 0


def test_dropout_acts_in_training_only():
    network = randomize(FeedForward(4, 8, drop=0.5))
    x = torch.randn(50, 4)
    assert (network(x) == 0).float().mean() == pytest.approx(0.5, abs=0.15)
    network.eval()
    assert_close(
        network(x),
        F.linear(F.gelu(network.fc1(x)), network.fc2.weight, network.fc2.bias),
        1e-6,
    )
