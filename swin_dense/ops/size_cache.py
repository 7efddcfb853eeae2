"""Keeping index tensors that depend on sizes alone."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar('T')
_LOCK = Lock()


def is_traced() -> bool:
    """Return True while a compiler, an exporter or a tracer runs the code."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


class SizeCache:
    """Results of functions of sizes, on the device that uses them.

    A model owns one. The results come from the CPU once for each device, so
    a later forward pass of the same size neither computes nor copies them.
    Those used least recently are forgotten. Copies of a model start empty.

    Args:
        max_entries: Number of results to keep.
    """

    def __init__(self, max_entries: int = 128) -> None:
        self.max_entries = max_entries
        self._entries: OrderedDict[tuple, Any] = OrderedDict()

    def get(
        self,
        function: Callable[..., T],
        *sizes: Any,
        device: torch.device | str,
    ) -> T:
        """Return `function(*sizes)` with all its tensors on a device.

        Args:
            function: Returns a tensor, a tuple of results, or None. Its
                tensors are ordinary ones, in inference mode too, since the
                next caller may be training; they must not be changed.
            sizes: Arguments that can be keys of a dictionary.
            device: Where the tensors are used.
        """
        if is_traced():  # sizes may be symbols, and tensors are not real
            return _move(function(*sizes), device)
        key = (function, sizes, torch.device(device))
        with _LOCK:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        with torch.inference_mode(False), torch.device('cpu'):
            result = _move(function(*sizes), device)
        with _LOCK:
            self._entries[key] = result
            while len(self._entries) > self.max_entries:
                self._entries.popitem(last=False)
        return result

    def __len__(self) -> int:
        return len(self._entries)

    def __reduce__(self) -> tuple:
        return SizeCache, (self.max_entries,)


def _move(value: Any, device: torch.device | str) -> Any:
    """Return a result with all its tensors on a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, tuple):
        parts = [_move(part, device) for part in value]
        return (
            type(value)(*parts) if hasattr(value, '_fields') else tuple(parts)
        )
    return value
