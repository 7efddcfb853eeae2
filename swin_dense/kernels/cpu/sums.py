"""Sums, over chunks, of the gradients of shared tensors."""

import torch
from torch import Tensor


class Sums:
    """Sums over chunks that several workers add to at the same time.

    Each worker has its own partial sums. A worker always gets the same chunks,
    and totals add the partial sums in the order of the workers, so results do
    not depend on timing.
    """

    def __init__(self) -> None:
        self._parts: dict[tuple[str, int], Tensor] = {}

    def add(self, worker: int, name: str, value: Tensor) -> None:
        """Add a tensor to a sum. Later calls may overwrite the tensor."""
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
        """Return a sum over all workers, or None if nothing was added."""
        parts = [
            self._parts[key] for key in sorted(self._parts) if key[0] == name
        ]
        if not parts:
            return None
        total = parts[0]
        for part in parts[1:]:
            total = torch.add(total, part)
        return total.to(dtype)
