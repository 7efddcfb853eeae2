"""Log a training so that a person can follow it."""

from collections.abc import Mapping
from typing import Any

from mmengine.dist import is_main_process
from mmengine.runner import EpochBasedTrainLoop

from swin_dense.engine.console_lines import metrics_table, training_line
from swin_dense.engine.early_checks import SafeLoggerHook
from swin_dense.engine.run_log import TO_CONSOLE, TO_FILE
from swin_dense.engine.training_curves import write_results
from swin_dense.registry import HOOKS


@HOOKS.register_module()
class FollowableLoggerHook(SafeLoggerHook):
    """mmengine's hook, with validations at their iteration, and curves.

    mmengine logs a validation at the epoch, which is 0 in trainings that are
    counted in iterations, and in others no place on the axis of the losses.
    After each validation and at the end, also after Ctrl-C, `results.csv` and
    `curves.png` are written into the work folder.

    The console gets a short line for each interval and a table for each
    evaluation; the log file gets mmengine's lines.

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

    def after_train_iter(
        self, runner: Any, batch_idx: int, *args: Any, **kwargs: Any
    ) -> None:
        """Log the steps since the last line."""
        self._try(self._log_steps, runner, batch_idx)

    def _log_steps(self, runner: Any, batch_idx: int) -> None:
        length = len(runner.train_dataloader)
        is_last = self.end_of_epoch(runner.train_dataloader, batch_idx)
        if not self.every_n_inner_iters(batch_idx, self.interval) and not (
            is_last and (not self.ignore_last or length <= self.interval)
        ):
            return
        values, line = runner.log_processor.get_log_after_iter(
            runner, batch_idx, 'train'
        )
        place = f'iteration {runner.iter + 1}/{runner.max_iters}'
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            place = (
                f'epoch {runner.epoch + 1}/{runner.max_epochs}, '
                f'{batch_idx + 1}/{length}'
            )
        left = runner.message_hub.runtime_info.get('eta')
        runner.logger.info(line, extra=TO_FILE)
        runner.logger.info(
            training_line(place, values, left), extra=TO_CONSOLE
        )
        runner.visualizer.add_scalars(
            values, step=runner.iter + 1, file_path=self.json_log_path
        )

    def after_val_epoch(
        self, runner: Any, metrics: dict[str, float] | None = None
    ) -> None:
        """Log the metrics at the iteration; update table and curves."""
        super().after_val_epoch(runner, metrics)
        in_training = not isinstance(runner._train_loop, dict)
        place = f' after {runner.iter} iterations' if in_training else ''
        _show_table(runner, f'validation{place}', metrics)
        if is_main_process() and in_training:
            write_results(runner.work_dir)

    def after_test_epoch(
        self, runner: Any, metrics: dict[str, float] | None = None
    ) -> None:
        """Log the metrics of a test."""
        super().after_test_epoch(runner, metrics)
        _show_table(runner, 'test', metrics)


def _show_table(
    runner: Any, title: str, metrics: Mapping[str, Any] | None
) -> None:
    """Show the values of an evaluation on the console."""
    if metrics:
        runner.logger.info(
            f'{title}\n{metrics_table(metrics)}', extra=TO_CONSOLE
        )
