import pytest
import torch
from torch import nn

from swin_dense.layers import FeedForward, SwinBlock, WindowMixer
from swin_dense.ops import WindowLayout


class Double(WindowMixer):
    """Double each token."""

    parameter_prefix = 'twice'

    def mix(self, windows, shared, mask, kernels):
        return 2 * windows


class Scale(nn.Module):
    """A norm that multiplies by a number."""

    def __init__(self, dim):
        super().__init__()
        self.factor = 1.0

    def forward(self, x):
        return self.factor * x


def make_block(**kwargs):
    block = SwinBlock(2, Double((2,)), FeedForward(2, 2), Scale, **kwargs)
    for linear in (block.mlp.fc1, block.mlp.fc2):
        nn.init.eye_(linear.weight)
        nn.init.zeros_(linear.bias)
    block.mlp.act = nn.ReLU()
    return block


@pytest.mark.parametrize('post_norm, expected', [(False, 0), (True, -1)])
def test_the_norm_is_first_or_last(post_norm, expected):
    # With norms that negate, a token of 1 becomes 1 - 2 = -1. If the norm of
    # the second branch is first: -1 + relu(1) = 0; if last: -1 - relu(-1).
    block = make_block(post_norm=post_norm)
    block.norm1.factor = block.norm2.factor = -1
    out = block(torch.ones(1, 2, 2), WindowLayout((2,), (2,), (0,)))
    assert out.unique().tolist() == [expected]


def test_the_extra_norm_is_on_the_main_branch():
    block = make_block(extra_norm=True)
    block.norm3.factor = 7
    layout = WindowLayout((2,), (2,), (0,))
    assert (block(torch.ones(1, 2, 2), layout) == 6 * 7).all()
    assert make_block().norm3 is None


def test_the_mixer_has_the_name_of_its_class():
    block = make_block()
    assert block.mixer is block.twice
    assert 'mixer' not in dict(block.named_children())
