"""Choose the lines of the log that a run shows on the console.

The log file gets all lines. The console leaves out the description of the
environment, the config and the list of hooks, lines that a host repeats for
every parameter, and Python warnings of installed packages. Its lines of a
training are shorter, and begin with the time of day.
"""

import logging
import sysconfig
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from mmengine.logging import MMLogger

# First words of lines that mmengine repeats, or that announce its next step.
_NOISE = (
    'paramwise_options',
    'Distributed training is not used',
    '"FileClient"',
    '"HardDiskBackend"',
    'Exp name',
    'Saving checkpoint at',
    'Checkpoints will be saved to',
    'Hooks will be executed',
    # About batches and gradients that are restored or skipped unread.
    'Advance dataloader',
    'Resumed iteration number is not divisible',
)
# Last words of a line for every parameter that is frozen.
_FROZEN = 'is skipped since its requires_grad=False'
# The file of mmengine that logs how each parameter was initialised.
_MODULES = ('mmengine', 'model', 'base_module.py')
# `extra` of a record that goes to one of the two alone.
TO_FILE = {'file_only': True}
TO_CONSOLE = {'console_only': True}
_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = tuple(
    Path(sysconfig.get_path(name)).resolve()
    for name in ('purelib', 'platlib', 'stdlib')
)


def quieten_console(logger: logging.Logger) -> None:
    """Shorten the lines of the console, and leave out those for the log file.

    Without a log file no line is left out, since it would be lost; but for
    those about the initial values of every parameter.
    """
    files = [h for h in logger.handlers if isinstance(h, logging.FileHandler)]
    for handler in logger.handlers:
        if handler in files:
            handler.addFilter(is_for_file)
            continue
        handler.setFormatter(ConsoleFormatter())
        handler.addFilter(is_for_console if files else is_not_initial_value)


class ConsoleFormatter(logging.Formatter):
    """Writes the time of day and the message, and what a warning is."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        level = ''
        if record.levelno >= logging.WARNING:
            level = f'{record.levelname.lower()}: '
        when = self.formatTime(record, '%H:%M:%S')
        return f'{when}  {level}{record.getMessage()}'


def is_for_file(record: logging.LogRecord) -> bool:
    """Return True if the log file needs a record."""
    return not getattr(record, 'console_only', False)


def is_for_console(record: logging.LogRecord) -> bool:
    """Return True if a person at the console needs a record."""
    if getattr(record, 'file_only', False):
        return False
    message = record.getMessage()
    if message.startswith(_NOISE) or message.endswith(_FROZEN):
        return False
    if record.levelno >= logging.WARNING:
        return True
    place = Path(record.pathname).parts[-3:]
    if place == ('mmengine', 'hooks', 'logger_hook.py'):
        return False  # the lines of evaluations, which have tables
    # The environment, the config and the hooks are all that mmengine's runner
    # itself logs in several lines.
    return place != ('mmengine', 'runner', 'runner.py') or '\n' not in message


def is_not_initial_value(record: logging.LogRecord) -> bool:
    """Return False if a record tells how a parameter was initialised."""
    return Path(record.pathname).parts[-3:] != _MODULES or not (
        record.getMessage().startswith('\n')
    )


def is_of_installed_package(file: str) -> bool:
    """Return True if a file is of Python or an installed package.

    This package and a user's own modules are not among them.
    """
    path = Path(file).resolve()
    return not path.is_relative_to(_PACKAGE) and any(
        path.is_relative_to(folder) for folder in _INSTALLED
    )


@contextmanager
def foreign_warnings_to_file() -> Iterator[None]:
    """Write Python warnings of installed packages to the run's log file.

    Warnings that come before there is a log file are written when the
    context ends. Other warnings are shown as usual. At the end, the console
    tells how many warnings are in the file; without a log file, all of them
    are shown there.
    """
    show = warnings.showwarning
    waiting: list[tuple[Any, ...]] = []
    count = 0

    def write(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        nonlocal count
        if not is_of_installed_package(filename):
            show(message, category, filename, lineno, file, line)
            return
        logger = _logger_with_file()
        if logger is None:
            waiting.append((message, category, filename, lineno, file, line))
            return
        count += 1
        text = warnings.formatwarning(
            message, category, filename, lineno, line
        )
        logger.info(text.rstrip(), extra=TO_FILE)

    warnings.showwarning = write
    try:
        yield
    finally:
        warnings.showwarning = show
        logger = _logger_with_file()
        for warning in waiting:
            (write if logger else show)(*warning)
        if count and logger is not None:
            logger.info(
                f'Warnings of installed packages: {count}, in '
                f'{logger.log_file}'
            )


def _logger_with_file() -> MMLogger | None:
    """Return the logger of the run, or None before there is one.

    A run that could not start has removed its log file.
    """
    if not MMLogger._instance_dict:
        return None
    logger = MMLogger.get_current_instance()
    file = logger.log_file
    return logger if file and Path(file).exists() else None
