"""Keep what is logged during a check."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.logging import MMLogger

# First words of warnings of mmengine that say nothing about a config.
HARMLESS = ('The prefix is not set in metric class',)


@contextmanager
def collect_warnings(is_quiet: bool = True) -> Iterator[list[str]]:
    """Collect the warnings that are logged.

    Args:
        is_quiet: If True, nothing else is shown or written to a file.

    Yields:
        The warnings, filled as they are logged.
    """
    logger: Any = MMLogger.get_current_instance()
    levels = [(handler, handler.level) for handler in logger.handlers]
    notes = _Notes()
    logger.addHandler(notes)
    if is_quiet:
        for handler, _ in levels:
            handler.setLevel(logging.CRITICAL)
    try:
        yield notes.lines
    finally:
        logger.removeHandler(notes)
        for handler, level in levels:
            handler.setLevel(level)


class _Notes(logging.Handler):
    """Keep the messages of a level and above."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message, once."""
        text = record.getMessage()
        if text not in self.lines and not text.startswith(HARMLESS):
            self.lines.append(text)
