"""The two-layer network that every token passes through."""
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from swin_dense.ops import (blocks_of, fits_block, infer_linear,
                            pack_weights_once, prefers_blocks)


class FeedForward(nn.Module):
    """Linear, activation, linear (Swin V1 paper, section 3.1).

    Args:
        dim: Channels C of input and output.
        hidden_dim: Channels between the layers.
        drop: Dropout after each layer.
        activation: Class of the activation.
    """

    def __init__(self,
                 dim: int,
                 hidden_dim: int,
                 drop: float = 0.,
                 activation: type[nn.Module] = nn.GELU) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.act = activation()
        self.fc2 = nn.Linear(hidden_dim, dim)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens `(*, C)` to tokens `(*, C)`."""
        dropping = self.drop.training and self.drop.p > 0
        grad = torch.is_grad_enabled()
        if (type(self.act) is nn.GELU and not dropping and prefers_blocks(x)
                and not (grad and self._is_small(x))):
            return _BlockedGELUNetwork.apply(
                x.flatten(0,
                          -2), self.fc1.weight, self.fc1.bias, self.fc2.weight,
                self.fc2.bias, self.act.approximate, grad).view_as(x)
        return self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))

    def _is_small(self, x: Tensor) -> bool:
        """Whether blocks have nothing to save in the backward pass."""
        return fits_block(x.flatten(0, -2), self.fc1.out_features)


class _BlockedGELUNetwork(torch.autograd.Function):
    """The network over blocks of tokens.

    What is wider than a token lives in the cache only, except for the hidden
    values before the activation, which the backward pass starts from. The
    plain path keeps them after the activation as well and writes each
    gradient of that width to memory.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight1: Tensor, bias1: Tensor,
                weight2: Tensor, bias2: Tensor, approximate: str,
                keep: bool) -> Tensor:
        hidden = []  # one tensor for each block, to copy nothing
        out = torch.empty_like(x)
        with pack_weights_once():
            for rows in blocks_of(x, len(weight1)):
                if keep:
                    hidden.append(infer_linear(x[rows], weight1, bias1))
                    block = F.gelu(hidden[-1], approximate=approximate)
                else:
                    block = infer_linear(x[rows], weight1, bias1, approximate)
                out[rows] = infer_linear(block, weight2, bias2)
        if keep:
            ctx.save_for_backward(x, weight1, weight2, *hidden)
            ctx.approximate = approximate
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple:
        x, weight1, weight2, *hidden = ctx.saved_tensors
        grad = grad.contiguous()
        grad_x = torch.empty_like(x)
        grad1, grad2 = torch.zeros_like(weight1), torch.zeros_like(weight2)
        grad_bias1 = weight1.new_zeros(len(weight1))
        with pack_weights_once():
            for rows, block in zip(blocks_of(x, len(weight1)), hidden):
                active = F.gelu(block, approximate=ctx.approximate)
                grad2.addmm_(grad[rows].t(), active)
                wide = torch.ops.aten.gelu_backward(
                    infer_linear(grad[rows], weight2.t(), None),
                    block,
                    approximate=ctx.approximate)
                grad1.addmm_(wide.t(), x[rows])
                grad_bias1 += wide.sum(0)
                grad_x[rows] = infer_linear(wide, weight1.t(), None)
        return grad_x, grad1, grad_bias1, grad2, grad.sum(0), None, None
