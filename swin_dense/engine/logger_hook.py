"""Log a training so that a person can follow it."""

from typing import Any

from mmengine.dist import is_main_process

from swin_dense.engine.early_checks import SafeLoggerHook
from swin_dense.engine.training_curves import write_results
from swin_dense.registry import HOOKS


@HOOKS.register_module()
class FollowableLoggerHook(SafeLoggerHook):
    """mmengine's hook, with validations at their iteration, and curves.

    mmengine logs a validation at the epoch, which is 0 in trainings that are
    counted in iterations, and in others no place on the axis of the losses.
    After each validation and at the end, also after Ctrl-C, `results.csv` and
    `curves.png` are written into the work folder.

    Args:
        log_metric_by_epoch: Not used.

    Other arguments are those of mmengine's LoggerHook.
    """

    def __init__(
        self,
        *args: Any,
        log_metric_by_epoch: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, log_metric_by_epoch=False, **kwargs)

    def after_val_epoch(
        self, runner: Any, metrics: dict[str, float] | None = None
    ) -> None:
        """Log the metrics at the iteration; update table and curves."""
        super().after_val_epoch(runner, metrics)
        if is_main_process() and not isinstance(runner._train_loop, dict):
            write_results(runner.work_dir)
