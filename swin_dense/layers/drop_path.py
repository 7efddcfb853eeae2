"""Stochastic depth."""

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """Drop a residual branch for random samples of a batch.

    Deep Networks with Stochastic Depth (arXiv 1603.09382). The branch of the
    other samples is divided by `1 - rate`, so that its expectation stays. In
    evaluation mode nothing is dropped.

    Args:
        rate: Probability that a sample loses the branch, in [0, 1).

    Raises:
        ValueError: If the rate is outside of [0, 1).
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(
                f'the drop-path rate must be in [0, 1), got {rate}'
            )
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """Return a branch `(B, ...)` with random samples set to 0."""
        if not self.training or not self.rate:
            return branch
        keep = 1 - self.rate
        shape = (len(branch),) + (1,) * (branch.ndim - 1)  # (B, 1, ...)
        kept = torch.empty(
            shape, dtype=branch.dtype, device=branch.device
        ).bernoulli_(keep)
        if branch.element_size() < 4:
            # In 16 bits 1 / keep is off by up to 0.4 %, always the same way.
            zero = branch.new_zeros(())
            return torch.addcmul(zero, branch, kept, value=1 / keep)
        return branch * kept.div_(keep)

    def extra_repr(self) -> str:
        """Return the rate, for `print(model)`."""
        return f'rate={self.rate:.3f}'
