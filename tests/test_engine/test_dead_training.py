"""A loss that stays exactly 0 is named once."""

import logging
from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub
from mmengine.structures import BaseDataElement

from swin_dense.engine.dead_training import DeadTrainingHook


class Run:
    """What the hook needs of a runner."""

    def __init__(self, name):
        self.message_hub = MessageHub(name)
        self.logger = logging.getLogger(name)
        self.iter = 0

    def step(self, hook, losses, boxes=3):
        sample = BaseDataElement(gt_instances=[0] * boxes)
        for key, value in losses.items():
            self.message_hub.update_scalar(f'train/{key}', value)
        batch = dict(data_samples=[sample])
        hook.after_train_iter(self, self.iter, batch, losses)
        self.iter += 1


@pytest.mark.parametrize(
    'losses, boxes, message',
    [
        (dict(loss=0.0), 0, 'loss has been exactly 0 for 4 steps, up to it'),
        (
            {'loss': 1.0, 's0.loss_bbox': 0.0},
            2,
            's0.loss_bbox has been exactly 0 for 4 steps, up to iteration 4: '
            'the batches have boxes, but none is learnt',
        ),
        ({'loss': 1.0, 'loss_bbox': 0.0}, 0, None),
        ({'loss': 1.0, 'loss_mask': 0.0, 'acc': 0.0}, 2, None),
    ],
)
def test_a_dead_loss_is_named_once(losses, boxes, message, caplog):
    caplog.set_level(logging.WARNING)
    run, hook = Run(f'dead_{message}'), DeadTrainingHook(steps=4)
    for _ in range(3):
        run.step(hook, losses, boxes)
    assert not caplog.records
    for _ in range(6):
        run.step(hook, losses, boxes)
    assert len(caplog.records) == (message is not None)
    assert (message or '') in caplog.text


def test_a_living_loss_starts_the_count_anew(caplog):
    run, hook = Run('alive'), DeadTrainingHook(steps=3)
    for value in (0.0, 0.0, 1.0, 0.0, 0.0, 0.5, 0.0, 0.0):
        run.step(hook, dict(loss=value))
    assert not caplog.records
    hook.after_train_iter(SimpleNamespace(message_hub=run.message_hub), 0)


def test_steps_are_a_count():
    with pytest.raises(ValueError, match='steps=0 is not a number of steps'):
        DeadTrainingHook(steps=0)
