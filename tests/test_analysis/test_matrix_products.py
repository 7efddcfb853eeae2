import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from swin_dense.analysis.matrix_products import products_of


def test_products_of_a_training_step_have_its_flops():
    net = nn.Sequential(nn.Linear(6, 10), nn.GELU(), nn.Linear(10, 4))
    x = torch.randn(3, 5, 6, requires_grad=True)

    def step():
        net(x).sum().backward()

    products = products_of(step)
    with FlopCounterMode(display=False) as counted:
        products()
    # Each layer: output, gradient of the input, gradient of the weight.
    assert counted.get_total_flops() == 3 * 2 * 15 * (6 * 10 + 10 * 4)


def test_task_without_products_is_refused():
    with pytest.raises(ValueError, match='multiplies no matrices'):
        products_of(lambda: None)
