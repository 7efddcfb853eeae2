"""Show the progress of a run in one line of the terminal.

Where the console is a file or a pipe, nothing is shown.
"""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from swin_dense.engine.console_lines import duration

_SECONDS = 0.2  # between two refreshes


@contextmanager
def show_progress(
    runner: Any, console: Console | None = None
) -> Iterator[None]:
    """Show a bar with the time left while a runner trains or tests.

    Lines of the log are written above the bar.

    Args:
        runner: The runner.
        console: Console with the bar; by default that of the process, if it
            is a terminal.
    """
    console = console or Console()
    if not (console.is_terminal and is_main_process()):
        yield
        return
    progress = Progress(
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn('{task.fields[left]}'),
        console=console,
        transient=True,
        auto_refresh=False,  # no thread: workers are forked
    )
    hook = ProgressHook(progress)
    runner.register_hook(hook)
    handlers = [
        handler
        for handler in runner.logger.handlers
        if isinstance(handler, logging.StreamHandler)
        and not isinstance(handler, logging.FileHandler)
    ]
    streams = [handler.stream for handler in handlers]
    try:
        with progress:
            for handler in handlers:
                handler.setStream(sys.stdout)  # which writes above the bar
            yield
    finally:
        for handler, stream in zip(handlers, streams):
            handler.setStream(stream)
        runner.hooks.remove(hook)


class ProgressHook(Hook):
    """Updates the bar of a training, and below it that of an evaluation.

    Args:
        progress: The bars.
    """

    priority = 'VERY_LOW'

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._training: Any = None
        self._evaluation: Any = None
        self._start = self._shown = 0.0

    def before_train(self, runner: Any) -> None:
        """Add the bar of the training."""
        self._training = self.progress.add_task(
            'training', total=runner.max_iters, completed=runner.iter, left=''
        )
        self.progress.refresh()

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Update the bar; mmengine estimates the time left."""
        left = runner.message_hub.runtime_info.get('eta')
        self._update(
            self._training,
            runner.iter + 1,
            '' if left is None else f'{duration(left)} left',
        )

    def after_train(self, runner: Any) -> None:
        """Remove the bar."""
        self.progress.remove_task(self._training)

    def before_val_epoch(self, runner: Any) -> None:
        """Add the bar of a validation."""
        self._begin('validation', len(runner.val_dataloader))

    def after_val_iter(
        self, runner: Any, batch_idx: int, *args: Any, **kwargs: Any
    ) -> None:
        """Update the bar of a validation."""
        self._evaluated(batch_idx + 1, len(runner.val_dataloader))

    def after_val_epoch(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Remove the bar of a validation."""
        self.progress.remove_task(self._evaluation)

    def before_test_epoch(self, runner: Any) -> None:
        """Add the bar of a test."""
        self._begin('test', len(runner.test_dataloader))

    def after_test_iter(
        self, runner: Any, batch_idx: int, *args: Any, **kwargs: Any
    ) -> None:
        """Update the bar of a test."""
        self._evaluated(batch_idx + 1, len(runner.test_dataloader))

    def after_test_epoch(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Remove the bar of a test."""
        self.progress.remove_task(self._evaluation)

    def _begin(self, name: str, total: int) -> None:
        self._start = time.monotonic()
        self._evaluation = self.progress.add_task(name, total=total, left='')
        self.progress.refresh()

    def _evaluated(self, count: int, total: int) -> None:
        seconds = (time.monotonic() - self._start) / count * (total - count)
        self._update(self._evaluation, count, f'{duration(seconds)} left')

    def _update(self, bar: Any, count: int, left: str) -> None:
        self.progress.update(bar, completed=count, left=left)
        if time.monotonic() - self._shown >= _SECONDS:
            self._shown = time.monotonic()
            self.progress.refresh()
