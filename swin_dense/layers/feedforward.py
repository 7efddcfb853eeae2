"""The two-layer network of single tokens (MLP) of a Swin block."""

from torch import Tensor, nn

from swin_dense.kernels import Kernels, choose


class FeedForward(nn.Module):
    """Linear, activation, linear (Swin V1 paper, section 3.1).

    Args:
        dim: Channels C of input and output.
        hidden_dim: Channels between the layers.
        drop: Dropout after each layer.
        activation: Class of the activation.
        fc2_bias: If false, the second layer has no bias, as in Swin-MoE.

    Attributes:
        elements_per_token: Channels of the widest intermediate result, by
            which kernels choose how many tokens they compute at a time. A
            network of tokens that depend on each other, such as experts of
            limited capacity, sets it to None and always gets whole maps.
    """

    def __init__(
        self,
        dim: int,
        hidden_dim: int,
        drop: float = 0.0,
        activation: type[nn.Module] = nn.GELU,
        fc2_bias: bool = True,
    ) -> None:
        super().__init__()
        self.elements_per_token: int | None = hidden_dim
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.act = activation()
        self.fc2 = nn.Linear(hidden_dim, dim, bias=fc2_bias)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor, kernels: Kernels | None = None) -> Tensor:
        """Compute the network for tokens `(..., C)`.

        Args:
            x: Tokens `(..., C)`.
            kernels: Set of kernels; None to choose one for `x`.

        Returns:
            Tokens `(..., C)`.
        """
        kernels = choose(x) if kernels is None else kernels
        drops = self.drop.training and self.drop.p > 0
        if type(self.act) is nn.GELU and not drops:
            return kernels.feed_forward(
                x, self.fc1, self.fc2, self.act.approximate
            )
        return self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))
