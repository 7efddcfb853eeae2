"""The window mixer of Swin-MLP: linear layers over the tokens of a window."""

from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from swin_dense.kernels import Kernels
from swin_dense.layers.mixer import WindowMixer
from swin_dense.ops.grid import Grid, format_size


class SpatialMLP(WindowMixer):
    """A linear layer over the N tokens of a window, one for each head.

    Official code of Swin-MLP. The channels are split into heads. In each
    channel of a head, every token becomes the same weighted sum of the tokens
    of its window. The weights are those of a grouped `Conv1d` with kernel 1,
    as in official checkpoints.

    There are no masks: windows are shifted by padding with zeros. Zeros are
    tokens like others, and the bias of a token does not depend on them.

    Args:
        dim: Channels C.
        window_size: Window, in tokens per axis. The weights are for this
            window alone.
        num_heads: Number of linear layers; must divide `dim`.

    Raises:
        ValueError: If `num_heads` does not divide `dim`.
    """

    parameter_prefix = 'spatial_mlp'
    shifts_by = 'pad'

    def __init__(self, dim: int, window_size: Grid, num_heads: int) -> None:
        super().__init__(window_size)
        if dim % num_heads:
            raise ValueError(
                f'num_heads must divide the channels, got {num_heads=} for '
                f'{dim} channels'
            )
        self.dim = dim
        self.num_heads = num_heads
        tokens = prod(window_size)
        self.weight = nn.Parameter(torch.zeros(num_heads * tokens, tokens, 1))
        self.bias = nn.Parameter(torch.zeros(num_heads * tokens))

    def mix(
        self,
        windows: Tensor,
        shared: Any,
        mask: Tensor | None,
        kernels: Kernels,
    ) -> Tensor:
        """Mix the tokens of windows `(n, N, C)`.

        Raises:
            ValueError: If the windows have another number of tokens than the
                weights.
        """
        n, tokens, channels = windows.shape
        if tokens != self.weight.shape[1]:
            raise ValueError(
                f'the weights mix windows of {format_size(self.window_size)} '
                f'= {self.weight.shape[1]} tokens, got windows of {tokens} '
                'tokens'
            )
        heads = self.num_heads
        x = windows.view(n, tokens, heads, -1)  # (n, N, h, D)
        x = x.permute(2, 1, 0, 3).reshape(heads, tokens, -1)  # (h, N, n * D)
        x = torch.baddbmm(
            self.bias.view(heads, tokens, 1),
            self.weight.view(heads, tokens, tokens),
            x,
        )  # (h, N, n * D)
        x = x.view(heads, tokens, n, -1).permute(2, 1, 0, 3)  # (n, N, h, D)
        return x.reshape(n, tokens, channels)  # (n, N, C)

    def elements_per_window(self, window: Grid) -> int:
        """Count two copies of a window, and the weights at least once."""
        tokens = prod(window)
        return tokens * max(2 * self.dim, self.num_heads * tokens)

    def reset_parameters(self) -> None:
        """Draw the weights, and set the biases to 0."""
        nn.init.trunc_normal_(self.weight, std=0.02)
        nn.init.zeros_(self.bias)
