"""A cache of index tensors that depend on sizes alone."""

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


def is_exported() -> bool:
    """Return True while an exporter or a tracer of TorchScript runs it."""
    return torch.compiler.is_exporting() or torch.jit.is_tracing()


class SizeCache:
    """Keep the results of functions of sizes, on the device that uses them.

    A model owns a cache. A result is computed on the CPU and copied to a
    device once, so a later forward pass of the same size neither computes nor
    copies it. The results used least recently are dropped. A copy of a model
    starts with an empty cache.

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
            function: Returns a tensor, a tuple of results, or None. It is
                called outside of inference mode, since the next caller may be
                training. Callers must not change its tensors.
            sizes: Arguments of the function; they must be hashable.
            device: Device that uses the tensors.
        """
        if is_traced():  # sizes may be symbols, and tensors have no values
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
    """Return a result of nested tuples with its tensors on a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, tuple):
        parts = [_move(part, device) for part in value]
        return (
            type(value)(*parts) if hasattr(value, '_fields') else tuple(parts)
        )
    return value
