"""Learning by heart ends when all is known, and its failures are named."""

import contextlib
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from swin_dense.preflight.learning import learn, schedule


class Points(nn.Module):
    """A classifier of points, with the methods of a host's model."""

    def __init__(self, frozen=False):
        super().__init__()
        self.backbone = nn.Linear(2, 16)
        self.head = nn.Linear(16, 2)
        self.requires_grad_(not frozen)

    def data_preprocessor(self, batch, training):
        return dict(
            inputs=torch.stack(batch['inputs']),
            labels=torch.tensor(batch['data_samples']),
        )

    def forward(self, inputs, labels=None, mode='tensor'):
        scores = self.head(self.backbone(inputs).tanh())
        if mode == 'tensor':
            return scores
        return dict(loss=nn.functional.cross_entropy(scores, labels))

    def parse_losses(self, losses):
        return losses['loss'], losses


@contextlib.contextmanager
def watch(model):
    yield {'head.assigner': 1.0}


def measure(model, packed):
    scores = model(torch.stack([sample['inputs'] for sample in packed]))
    truth = torch.tensor([sample['data_samples'] for sample in packed])
    return {'top-1': float((scores.argmax(1) == truth).float().mean())}, None


TASK = SimpleNamespace(watch=watch, measure=measure)
# Exclusive or: a linear model cannot tell these apart.
PACKED = [
    dict(inputs=torch.tensor([a, b]), data_samples=int(a * b < 0))
    for a in (-1.0, 1.0)
    for b in (-1.0, 1.0)
] * 2


def test_it_ends_when_all_is_known():
    seen = []
    evidence = learn(
        TASK,
        Points(),
        PACKED,
        rate=5e-3,
        steps=240,
        report=lambda step, scores: seen.append(step),
    )
    assert evidence.scores == {'top-1': 1.0}
    assert len(evidence.losses) == seen[-1] <= 240
    assert seen == [*range(40, seen[-1] + 1, 40)]
    assert evidence.losses[-1] < 0.8 * evidence.losses[0]
    assert evidence.change > 0.01 and evidence.contrast > 0.1
    assert evidence.assigned == {'head.assigner': 1.0}


def test_it_is_the_same_each_time():
    first, second = (
        learn(TASK, seeded(), PACKED, rate=2e-3, steps=20).losses
        for _ in range(2)
    )
    assert first == second


def seeded():
    torch.manual_seed(0)
    return Points()


def test_time_ends_it():
    evidence = learn(TASK, Points(), PACKED, rate=2e-3, steps=9, seconds=0.0)
    assert len(evidence.losses) == 1 and evidence.scores


def test_a_loss_that_is_not_finite_ends_it():
    model = Points()
    model.parse_losses = lambda losses: (losses['loss'] * math.nan, losses)
    evidence = learn(TASK, model, PACKED, rate=2e-3, steps=9)
    assert len(evidence.losses) == 1 and math.isnan(evidence.losses[0])


def test_the_schedule():
    assert schedule(1, 100) < 0.2
    assert schedule(20, 100) == pytest.approx(0.909, abs=0.01)
    assert schedule(100, 100) == pytest.approx(0.05)
