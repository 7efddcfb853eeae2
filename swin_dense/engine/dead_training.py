"""Tell when a loss stays exactly 0, so that nothing is learnt."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from swin_dense.registry import HOOKS


@HOOKS.register_module()
class DeadTrainingHook(Hook):
    """Warns when the loss, or a loss of boxes, is exactly 0 for many steps.

    Every runner of this package has this hook. A loss of boxes counts in steps
    whose batch has boxes. Each loss is named once.

    Args:
        steps: Number of steps in a row after which a loss is named.

    Raises:
        ValueError: If `steps` is not positive.
    """

    # After RuntimeInfoHook, which records the losses as numbers.
    priority: Any = 'ABOVE_NORMAL'

    def __init__(self, steps: int = 50) -> None:
        if type(steps) is not int or steps < 1:
            raise ValueError(
                f'DeadTrainingHook: steps={steps!r} is not a number of '
                'steps; expected an integer of 1 or more'
            )
        self.steps = steps
        self._zeros: Counter[str] = Counter()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Count the losses that are 0."""
        scalars = runner.message_hub.log_scalars
        for name in outputs or ():
            of_boxes = 'loss' in name and 'bbox' in name
            if name != 'loss' and not of_boxes:
                continue
            values, counts = scalars[f'train/{name}'].data
            if values[-1] or not counts[-1]:  # a step that was skipped
                self._zeros[name] = 0
            elif name == 'loss' or _num_boxes(data_batch):
                self._zeros[name] += 1
                if self._zeros[name] == self.steps:
                    runner.logger.warning(self._describe(name, runner.iter))

    def _describe(self, name: str, step: int) -> str:
        if name == 'loss':
            why = (
                'nothing is learnt. Are all labels ignored, is a loss_weight '
                '0, or does no parameter require a gradient?'
            )
        else:
            why = (
                'the batches have boxes, but none is learnt. Do anchors and '
                'proposals reach them (sizes, scales, iou thresholds), and is '
                'loss_weight above 0?'
            )
        return (
            f'{name} has been exactly 0 for {self.steps} steps, up to '
            f'iteration {step + 1}: {why}'
        )


def _num_boxes(batch: Any) -> int:
    """Return the number of boxes in a batch of a detector."""
    samples = batch.get('data_samples') if isinstance(batch, Mapping) else None
    return sum(
        len(sample.gt_instances)
        for sample in samples or ()
        if 'gt_instances' in sample
    )
