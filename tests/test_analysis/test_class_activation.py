"""Class activation maps, compared with formulas and differences."""

import numpy as np
import pytest
import torch
from torch import nn

from swin_dense.analysis.class_activation import (
    activation,
    activations,
    strongest,
    watch_pyramid,
)


class Model(nn.Module):
    """A backbone of two maps, without a neck, and a score."""

    with_neck = False

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 2, 2)
        self.second = nn.Conv2d(4, 4, 2, 2)
        self.backbone = nn.Module()
        self.backbone.forward = self.maps
        self.head = nn.Linear(4, 2)
        self.head.weight.requires_grad_(False)

    def maps(self, x):
        first = self.first(x)
        return first, self.second(first.relu())

    def forward(self, x):
        first, second = self.backbone(x)
        pooled = (first[..., :3, :5] ** 2).mean((2, 3)) + second.mean((2, 3))
        return self.head(pooled)[0]


def test_formulas_by_hand():
    features = torch.tensor([[[1.0, 2], [3, 4]], [[1, 1], [1, -1]]])
    gradient = torch.tensor([[[1.0, 0], [0, 1]], [[0, 0], [2, 2]]])
    torch.testing.assert_close(
        activation(features, gradient, 'hires-cam'),
        torch.tensor([[1.0, 0], [2, 2]]),
    )
    # The mean gradients of the channels are 0.5 and 1.
    torch.testing.assert_close(
        activation(features, gradient, 'grad-cam'),
        torch.tensor([[1.5, 2], [2.5, 1]]),
    )
    assert activation(features, -gradient, 'hires-cam').max() == 0
    with pytest.raises(ValueError, match='hires-cam, grad-cam, got .cam.'):
        activation(features, gradient, 'cam')


def test_the_sum_is_the_change_of_the_score_with_the_map():
    """HiResCAM adds up to the derivative along the map itself."""
    model, x = Model().double(), torch.randn(1, 3, 8, 12).double()
    with watch_pyramid(model) as pyramid:
        score = model(x)[1]
        gradient = torch.autograd.grad(score, pyramid, retain_graph=True)
        maps = activations(score, pyramid, 'hires-cam')
    for index, (features, slope) in enumerate(zip(pyramid, gradient)):
        products = (features * slope).sum(1)[0]
        torch.testing.assert_close(maps[index], products.relu().detach())
        step = 1e-6
        scores = []
        for factor in (1 + step, 1 - step):
            moved = [entry.detach() for entry in pyramid]
            moved[index] = moved[index] * factor
            model.backbone.forward = lambda _, moved=moved: tuple(moved)
            scores.append(model(x)[1])
        model.backbone.forward = model.maps
        change = (scores[0] - scores[1]) / (2 * step)
        torch.testing.assert_close(products.sum(), change, rtol=1e-6, atol=0)
    # The first map counts in its first rows and columns alone.
    assert not gradient[0][..., 3:, :].any() and gradient[0][..., :3, :5].all()


def test_parameters_take_no_part_and_are_as_before():
    model = Model()
    with watch_pyramid(model) as pyramid:
        score = model(torch.randn(1, 3, 8, 8))[0]
        assert not any(p.requires_grad for p in model.parameters())
        assert all(entry.is_leaf for entry in pyramid)
        score.backward()
    assert pyramid[1].grad is not None and model.first.weight.grad is None
    assert model.first.weight.requires_grad
    assert not model.head.weight.requires_grad
    assert not model.backbone._forward_hooks


def test_what_a_head_detaches_keeps_its_gradient():
    model, x = Model(), torch.randn(1, 3, 8, 8)
    with watch_pyramid(model) as pyramid:
        score = model(x)[0]
        (expected,) = torch.autograd.grad(
            score, pyramid[:1], retain_graph=True
        )
        detached = score.detach()
        assert detached.numpy() == np.asarray(detached) == score.item()
        (gradient,) = torch.autograd.grad(detached, pyramid[:1])
    assert torch.equal(gradient, expected)
    assert not torch.ones(1, requires_grad=True).detach().requires_grad


def test_scores_without_a_gradient_are_refused():
    pyramid = [torch.ones(1, 2, 3, 3, requires_grad=True)]
    with pytest.raises(ValueError, match='0.5 does not depend on the maps'):
        activations(torch.tensor(0.5), pyramid, 'grad-cam')
    flat = (pyramid[0] * 0).sum() + 1
    with pytest.raises(ValueError, match='score 1 does not change'):
        activations(flat, pyramid, 'grad-cam')
    with pytest.raises(ValueError, match='has NaN'):
        activations((pyramid[0] - 1).sqrt().sum(), pyramid, 'grad-cam')


def test_the_strongest_map():
    maps = [torch.ones(2, 2), torch.full((1, 2), 6.0), torch.zeros(1, 1)]
    assert strongest(maps) == (1, [0.25, 0.75, 0])
    assert strongest([torch.zeros(2), torch.zeros(1)]) == (0, [0, 0])
