"""The matrix products of a model, to time them without the rest.

No implementation of the model on the same library of products can be faster
than these.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# Size, strides and type of a tensor.
_Layout = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]
_aten = torch.ops.aten
# Operators that multiply two matrices, and where their first factor stands.
_FIRST_FACTOR = {_aten.mm.default: 0, _aten.addmm.default: 1}


class _Recorder(TorchDispatchMode):
    """Record the layouts of the factors of all products."""

    def __init__(self) -> None:
        super().__init__()
        self.products: list[tuple[_Layout, _Layout]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Any = None
    ) -> Any:
        first = _FIRST_FACTOR.get(func)
        if first is not None:
            a, b = (
                (tuple(x.shape), tuple(x.stride()), x.dtype)
                for x in args[first : first + 2]
            )
            self.products.append((a, b))
        return func(*args, **(kwargs or {}))


def _random(
    size: tuple[int, ...], strides: tuple[int, ...], dtype: torch.dtype
) -> Tensor:
    """Return random numbers in a layout, which may repeat elements."""
    last = sum((n - 1) * stride for n, stride in zip(size, strides))
    return torch.randn(last + 1, dtype=dtype).as_strided(size, strides)


def products_of(task: Callable[[], None]) -> Callable[[], None]:
    """Return a function that computes the matrix products of a task alone.

    The task runs once. Its products are repeated with random factors of the
    same sizes, strides and types, into memory that is kept.

    Args:
        task: Forward pass, or training step, of a model of linear layers
            (`torch.mm`, `torch.addmm`) on the CPU.

    Raises:
        ValueError: If the task computes no such product.
    """
    with _Recorder() as recorder:
        task()
    if not recorder.products:
        raise ValueError('the task multiplies no matrices')
    factors: dict[_Layout, Tensor] = {}
    results: dict[tuple[_Layout, _Layout], Tensor] = {}
    for a, b in recorder.products:
        for layout in (a, b):
            if layout not in factors:
                factors[layout] = _random(*layout)
        if (a, b) not in results:
            results[a, b] = torch.mm(factors[a], factors[b])

    def multiply() -> None:
        for a, b in recorder.products:
            torch.mm(factors[a], factors[b], out=results[a, b])

    return multiply
