"""Keeping index tensors that depend on sizes alone."""
from functools import lru_cache, wraps
from typing import Callable, TypeVar

import torch

T = TypeVar('T')


def cached_by_size(entries: int) -> Callable:
    """Decorate a function from sizes to tensors; remember the last results.

    The tensors are made on the CPU as ordinary ones, whatever device or
    inference mode is in force when they are first asked for, since the next
    caller may be training. They are shared and must not be changed.

    Args:
        entries: Number of results to remember.
    """

    def decorate(function: Callable[..., T]) -> Callable[..., T]:

        @lru_cache(maxsize=entries)
        @wraps(function)
        def remember(*sizes: object) -> T:
            with torch.inference_mode(False), torch.device('cpu'):
                return function(*sizes)

        return remember

    return decorate
