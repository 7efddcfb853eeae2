"""Limits on the memory and time that a file or server may take.

Each limit can be set by an environment variable.
"""

import math
import os

_PREFIX = 'SWIN_DENSE_'


class LimitError(ValueError):
    """A file or server takes more than a limit allows."""


def limit(name: str, default: float) -> float:
    """Return a limit from its environment variable, or the default.

    Args:
        name: Name of the variable without its prefix `SWIN_DENSE_`.
        default: Limit if the variable is not set.

    Raises:
        ValueError: If the variable is not a positive number.
    """
    text = os.environ.get(_PREFIX + name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value > 0:  # NaN included
        raise ValueError(
            f'the environment variable {_PREFIX}{name} must be '
            f'a positive number, got {text!r}'
        )
    return value


def advice(name: str) -> str:
    """Return a sentence on how to raise a limit."""
    return (
        f'If you trust its publisher, raise the limit: set the environment '
        f'variable {_PREFIX}{name}'
    )
