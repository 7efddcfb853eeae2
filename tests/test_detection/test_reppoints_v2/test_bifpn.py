"""The pyramid equals one that is written out step by step."""

import pytest
import torch
import torch.nn.functional as F

from helpers.models import randomize
from swin_dense.detection.reppoints_v2.bifpn import BiFPN

NORM = dict(type='GN', num_groups=2)


def fuse(module, *maps):
    weights = [max(w, 0.0) for w in module.weights.flatten().tolist()]
    total = sum(w * m for w, m in zip(weights, maps)) / (sum(weights) + 1e-4)
    return total * torch.sigmoid(total)


def slow_pyramid(model, inputs):
    """Names of the paper's figure: lateral L, top-down T, output O."""
    levels = list(inputs)
    while len(levels) < model.num_outs:
        levels.append(F.max_pool2d(levels[-1], 3, 2, 1))
    for layer in model.bi_fpn:
        L = [conv(x) for conv, x in zip(layer.lateral_convs, levels)]
        n = len(L)
        T = [None] * (n - 1) + [L[-1]]
        for i in range(n - 2, -1, -1):
            height, width = L[i].shape[-2:]
            above = T[i + 1]
            rows = torch.arange(height) * above.shape[-2] // height
            columns = torch.arange(width) * above.shape[-1] // width
            above = above[:, :, rows][..., columns]
            fused = fuse(layer.lateral_combine[i], L[i], above)
            T[i] = layer.lateral_combine_conv[i](fused)
        out = [T[0]]
        for i in range(1, n):
            below = F.max_pool2d(out[-1], 3, 2, 1)
            maps = [below, T[i], L[i]] if i < n - 1 else [below, T[i]]
            fused = fuse(layer.out_combine[i - 1], *maps)
            out.append(layer.out_combine_conv[i - 1](fused))
        levels = out
    return levels


def test_pyramid_step_by_step():
    torch.manual_seed(0)
    model = randomize(BiFPN([6, 8], 8, num_outs=4, norm_cfg=NORM)).eval()
    # Each map has a weight of its own, and one is negative: it does not count.
    for number, (name, weights) in enumerate(model.named_parameters()):
        if name.endswith('weights'):
            values = torch.tensor([1.0, 0.5, 2.0]).roll(number)
            weights.data = values[: weights.shape[-1]].expand_as(weights)
    model.bi_fpn[0].lateral_combine[0].weights.data[..., 1] = -1.0
    inputs = [torch.randn(2, 6, 13, 20), torch.randn(2, 8, 7, 10)]
    with torch.no_grad():
        outputs, expected = model(inputs), slow_pyramid(model, inputs)
    sizes = [tuple(level.shape[1:]) for level in outputs]
    assert sizes == [(8, 13, 20), (8, 7, 10), (8, 4, 5), (8, 2, 3)]
    for result, level in zip(outputs, expected):
        torch.testing.assert_close(result, level)


def test_sizes_at_800_by_1280():
    """21330 locations; an input of the output's width has no convolution."""
    model = BiFPN([4, 8], 8, num_outs=5, norm_cfg=NORM, num_repeats=1)
    with torch.device('meta'):
        inputs = [torch.empty(1, 4, 100, 160), torch.empty(1, 8, 50, 80)]
    outputs = model.to('meta')(inputs)
    sizes = [tuple(level.shape[-2:]) for level in outputs]
    assert sizes == [(100, 160), (50, 80), (25, 40), (13, 20), (7, 10)]
    assert sum(h * w for h, w in sizes) == 21330
    laterals = model.bi_fpn[0].lateral_convs
    assert [bool([*conv.parameters()]) for conv in laterals] == [
        True,
        False,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize('num_outs', [1, 2])
def test_too_few_levels(num_outs):
    with pytest.raises(ValueError, match='num_outs must be 2 at least'):
        BiFPN([4, 8, 8][: num_outs + 1], 8, num_outs=num_outs)


def test_gradients():
    torch.manual_seed(0)
    norm = dict(type='GN', num_groups=1)
    pyramid = BiFPN([2, 2], 2, 3, num_repeats=1, norm_cfg=norm).double()
    x = [torch.randn(1, 2, s, s, dtype=torch.float64) for s in (4, 2)]
    x[0].requires_grad_()
    assert torch.autograd.gradcheck(lambda a: pyramid([a, x[1]]), (x[0],))
