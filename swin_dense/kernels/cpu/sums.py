"""Gradients of what all chunks share, added up."""

import torch
from torch import Tensor


class Sums:
    """Sums over chunks that several workers add to at the same time.

    Each worker adds to numbers of its own, always those of the same chunks,
    and totals are taken in the order of the workers: results do not depend on
    who was faster.
    """

    def __init__(self) -> None:
        self._parts: dict[tuple[str, int], Tensor] = {}

    def add(self, worker: int, name: str, value: Tensor) -> None:
        """Add a tensor, which may be overwritten, to a sum."""
        part = self._parts.get((name, worker))
        self._parts[name, worker] = value if part is None else part.add_(value)

    def add_product(
        self, worker: int, name: str, a: Tensor, b: Tensor
    ) -> None:
        """Add the product of `(D, n)` and `(n, C)` to a sum `(D, C)`."""
        part = self._parts.get((name, worker))
        if part is None:
            self._parts[name, worker] = a @ b
        else:
            part.addmm_(a, b)

    def total(self, name: str, dtype: torch.dtype) -> Tensor | None:
        """Return a sum over all workers; None if nothing was added."""
        parts = [
            self._parts[key] for key in sorted(self._parts) if key[0] == name
        ]
        if not parts:
            return None
        total = parts[0]
        for part in parts[1:]:
            total = torch.add(total, part)
        return total.to(dtype)
