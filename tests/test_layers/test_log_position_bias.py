"""The log-MLP of Swin V2 keeps its tables until the weights change."""

import copy
import pickle

import pytest
import torch

from helpers.models import count_tables, randomize
from swin_dense.layers import (
    LogPositionBias,
)


@pytest.mark.parametrize(
    'change',
    [
        lambda m: m[2].weight.mul_(2),
        lambda m: m.load_state_dict(
            {name: 2 * value for name, value in m.state_dict().items()}
        ),
        lambda m: m.load_state_dict(
            {name: 2 * value for name, value in m.state_dict().items()},
            assign=True,
        ),
        lambda m: setattr(m[2], 'weight', torch.nn.Parameter(2 * m[2].weight)),
        lambda m: (m[2].weight.data.mul_(2), m.eval()),
        lambda m: m.double(),
        lambda m: setattr(m[2].weight, 'data', 2 * m[2].weight),
    ],
)
def test_change_of_the_weights_is_noticed(change):
    bias = randomize(LogPositionBias((4, 4), 2)).eval()
    with torch.no_grad():
        before = bias((4, 4))
        assert bias((4, 4)) is before
        change(bias)
        after = bias((4, 4))
        assert after is not before
        bias.train()
        assert torch.equal(bias((4, 4)), after)


def test_tables_of_few_windows_are_kept(monkeypatch):
    computed = count_tables(monkeypatch)
    bias = randomize(LogPositionBias((20, 20), 2)).eval()
    with torch.no_grad():
        for size in (*range(1, 15), 14, 13):
            bias((size, size))
    assert len(computed) == 14
    assert len(bias._tables.tables) == 8


def test_tables_do_not_leave_with_the_model():
    bias = randomize(LogPositionBias((4, 4), 2)).eval()
    with torch.no_grad():
        table = bias((4, 4))
        assert set(bias.state_dict()) == {'0.weight', '0.bias', '2.weight'}
        for other in (copy.deepcopy(bias), pickle.loads(pickle.dumps(bias))):
            assert other._tables is None
            assert torch.equal(other((4, 4)), table)
        assert bias((4, 4)) is table
