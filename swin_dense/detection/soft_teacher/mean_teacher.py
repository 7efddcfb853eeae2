"""The teacher as running mean of the students."""

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from swin_dense.registry import HOOKS


@HOOKS.register_module()
class MeanTeacher(Hook):
    """Update the teacher before each iteration, as Soft Teacher's authors do.

    teacher := m * teacher + (1 - m) * student with m = min(`momentum`,
    1 - 1 / (t + 1)) before iteration t = 0, 1, ... So the teacher starts as
    the student, is the mean of all students so far in the first 999
    iterations, and forgets slowly afterwards. Buffers are not averaged.
    mmdet's MeanTeacherHook has a constant m.

    Args:
        momentum: Greatest m.

    Raises:
        ValueError: If `momentum` is not between 0 and 1.
    """

    # Before the hooks that look at the model.
    priority = 'HIGH'

    def __init__(self, momentum: float = 0.999) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(
                f'momentum is {momentum}; write a number from 0 up to, but '
                'not including, 1'
            )
        self.momentum = momentum

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Update the teacher of the runner's model."""
        model = runner.model
        update(
            model.module if is_model_wrapper(model) else model,
            min(self.momentum, 1 - 1 / (runner.iter + 1)),
        )


@torch.no_grad()
def update(model: Any, momentum: float) -> None:
    """Move the parameters of the teacher towards those of the student.

    Args:
        model: Model with `teacher` and `student`.
        momentum: Share of the teacher that stays.
    """
    for old, new in zip(
        model.teacher.parameters(), model.student.parameters()
    ):
        old.mul_(momentum).add_(new.to(old), alpha=1 - momentum)
