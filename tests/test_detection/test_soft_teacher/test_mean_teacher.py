"""The teacher is the mean of the students."""

from types import SimpleNamespace

import pytest
from torch import nn

from swin_dense.detection.soft_teacher.mean_teacher import MeanTeacher
from swin_dense.registry import HOOKS


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.student = nn.BatchNorm1d(3)
        self.teacher = nn.BatchNorm1d(3)


def run(values, first=0, momentum=0.999):
    """Return the teacher after updates with students of these values."""
    hook = HOOKS.build(dict(type='swin_dense.MeanTeacher', momentum=momentum))
    model = Pair()
    nn.init.constant_(model.teacher.weight, 7.0)
    for step, value in enumerate(values):
        nn.init.constant_(model.student.weight, value)
        model.student.running_mean.fill_(value)
        runner = SimpleNamespace(model=model, iter=first + step)
        hook.before_train_iter(runner, step)
    return model.teacher


def test_it_starts_as_the_student():
    assert run([2.0]).weight.tolist() == [2, 2, 2]


def test_it_is_the_mean_of_all_students():
    assert run([2.0, 5.0, 11.0]).weight.tolist() == pytest.approx([6] * 3)


def test_it_forgets_slowly_later():
    result = run([2.0], first=5000).weight
    assert result.tolist() == pytest.approx([0.999 * 7 + 0.001 * 2] * 3)


def test_buffers_are_left_alone():
    assert run([2.0, 5.0]).running_mean.tolist() == [0, 0, 0]


@pytest.mark.parametrize('momentum', [-0.1, 1])
def test_bad_momentum(momentum):
    with pytest.raises(ValueError, match='momentum is'):
        MeanTeacher(momentum)
