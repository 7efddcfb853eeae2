"""Show the progress of a command in one line of the terminal.

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
from mmengine.logging import MMLogger
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
    with _bars(console, runner.logger) as progress:
        hook = ProgressHook(progress)
        runner.register_hook(hook)
        try:
            yield
        finally:
            runner.hooks.remove(hook)


@contextmanager
def show_steps(
    name: str, total: int = 0, console: Console | None = None
) -> Iterator['Steps']:
    """Show a bar with the time left while a command takes its steps.

    Args:
        name: What the command does.
        total: Number of steps; 0 if it is unknown.
        console: Console with the bar; by default standard error.
    """
    console = console or Console(stderr=True)
    with _bars(console, MMLogger.get_current_instance()) as progress:
        yield Steps(progress, name, total)


@contextmanager
def _bars(console: Console, logger: logging.Logger) -> Iterator[Progress]:
    """Yield bars for a console, nothing where it is no terminal.

    They vanish at the end. Lines of the log are written above them.
    """
    progress = Progress(
        TextColumn('{task.description}', markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn('{task.fields[left]}'),
        console=console,
        transient=True,
        auto_refresh=False,  # no thread: workers are forked
        # What is written to a file or a pipe stays there.
        redirect_stdout=sys.stdout.isatty() or not console.stderr,
        redirect_stderr=sys.stderr.isatty() or not console.stderr,
        disable=not console.is_terminal,
    )
    handlers = [
        handler
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler)
        and not isinstance(handler, logging.FileHandler)
    ]
    streams = [handler.stream for handler in handlers]
    with progress:
        try:
            for handler in handlers if console.is_terminal else ():
                handler.setStream(sys.stdout)  # which writes above the bars
            yield progress
        finally:
            for handler, stream in zip(handlers, streams):
                handler.setStream(stream)


class Steps:
    """A bar with the time left.

    Args:
        progress: Where it is shown.
        name: What is done.
        total: Number of steps; 0 if it is unknown.
        count: Steps that were done before.
    """

    def __init__(
        self, progress: Progress, name: str, total: int = 0, count: int = 0
    ) -> None:
        self._progress = progress
        self._shown = 0.0
        self._bar = progress.add_task(name, total=None, left='')
        self.begin(total, count)

    def begin(self, total: int, count: int = 0) -> None:
        """Begin to measure the time of steps; arguments as above."""
        self._total = total
        self._count = self._first = count
        self._start = time.monotonic()
        self._progress.update(self._bar, completed=count, total=total or None)
        self._progress.refresh()

    def advance(self, count: int = 1) -> None:
        """Say that some steps are done."""
        self.reach(self._count + count)

    def reach(
        self, count: int, total: int | None = None, left: float | None = None
    ) -> None:
        """Say how many steps are done in all.

        Args:
            count: Number of steps.
            total: Number of all steps, if it is now known better.
            left: Seconds left, if they are known better than by the mean of
                the steps.
        """
        self._count = count
        self._total = self._total if total is None else total
        now = time.monotonic()
        done = count - self._first
        if left is None and done and self._total:
            left = (now - self._start) / done * (self._total - count)
        self._progress.update(
            self._bar,
            completed=count,
            total=self._total or None,
            left='' if left is None else f'{duration(left)} left',
        )
        if now - self._shown >= _SECONDS:
            self._shown = now
            self._progress.refresh()

    def remove(self) -> None:
        """Remove the bar."""
        self._progress.remove_task(self._bar)


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

    def before_train(self, runner: Any) -> None:
        """Add the bar of the training."""
        self._training = Steps(
            self.progress, 'training', runner.max_iters, runner.iter
        )

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Update the bar; mmengine estimates the time left."""
        left = runner.message_hub.runtime_info.get('eta')
        self._training.reach(runner.iter + 1, left=left)

    def after_train(self, runner: Any) -> None:
        """Remove the bar."""
        self._training.remove()

    def before_val_epoch(self, runner: Any) -> None:
        """Add the bar of a validation."""
        self._begin('validation', runner.val_dataloader)

    def after_val_iter(self, *args: Any, **kwargs: Any) -> None:
        """Update the bar of a validation."""
        self._evaluation.advance()

    def after_val_epoch(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Remove the bar of a validation."""
        self._evaluation.remove()

    def before_test_epoch(self, runner: Any) -> None:
        """Add the bar of a test."""
        self._begin('test', runner.test_dataloader)

    def after_test_iter(self, *args: Any, **kwargs: Any) -> None:
        """Update the bar of a test."""
        self._evaluation.advance()

    def after_test_epoch(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Remove the bar of a test."""
        self._evaluation.remove()

    def _begin(self, name: str, loader: Any) -> None:
        self._evaluation = Steps(self.progress, name, len(loader))
