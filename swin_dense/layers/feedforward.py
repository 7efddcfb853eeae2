"""The two-layer network that every token passes through."""
import torch
from torch import Tensor, nn

from swin_dense.ops import block_length, in_blocks


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
        tokens = x.flatten(0, -2)
        length = block_length(tokens, self.fc1.out_features)
        if length is None:
            return self._mix(x)
        out = in_blocks(lambda rows: self._mix(tokens[rows]),
                        torch.empty_like(tokens), length)
        return out.view_as(x)

    def _mix(self, x: Tensor) -> Tensor:
        x = self.fc1(x)
        if type(self.act) is nn.GELU and not torch.is_grad_enabled():
            # In place, while the buffer is still in the cache.
            x = torch.ops.aten.gelu_(x, approximate=self.act.approximate)
        else:
            x = self.act(x)
        return self.drop(self.fc2(self.drop(x)))
