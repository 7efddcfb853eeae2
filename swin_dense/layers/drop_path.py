"""Stochastic depth."""

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """Drop a residual branch for some samples of a batch.

    Deep Networks with Stochastic Depth (arXiv 1603.09382); what is kept is
    scaled so that the expectation stays. Does nothing in evaluation.

    Args:
        rate: Probability that a sample loses the branch, in [0, 1).

    Raises:
        ValueError: If the rate is outside of that range.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(
                f'the drop-path rate must be in [0, 1), got {rate}'
            )
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """Drop samples, the first axis, of `(B, ...)`."""
        if not self.training or not self.rate:
            return branch
        keep = 1 - self.rate
        shape = (len(branch),) + (1,) * (branch.ndim - 1)
        kept = torch.empty(
            shape, dtype=branch.dtype, device=branch.device
        ).bernoulli_(keep)
        return branch * kept.div_(keep)

    def extra_repr(self) -> str:
        """The rate, for `print(model)`."""
        return f'rate={self.rate:.3f}'
