"""Patch embedding and patch merging for two or three axes."""

from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.kernels import Kernels, choose
from swin_dense.ops import pad_to_multiple
from swin_dense.ops.grid import Grid, round_up


class PatchEmbed(nn.Module):
    """Cut an image or clip into patches, and embed each as a token.

    Swin V1 paper, section 3.1.

    Args:
        in_channels: Channels of the input.
        dim: Channels C of a token.
        patch_size: Patch per axis: (height, width) in pixels for images,
            (frames, height, width) for clips.
        norm: Class of the norm of the tokens; None for no norm.
    """

    def __init__(
        self,
        in_channels: int,
        dim: int,
        patch_size: Grid,
        norm: type[nn.Module] | None = nn.LayerNorm,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        conv: Any = {2: nn.Conv2d, 3: nn.Conv3d}[len(patch_size)]
        self.proj = conv(in_channels, dim, patch_size, patch_size)
        self.norm = norm(dim) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Embed images or clips.

        Args:
            x: Input `(B, in_channels, *size)`. It is padded with zeros at the
                end of each axis to whole patches.

        Returns:
            Map `(B, *grid, C)`.
        """
        amounts = []
        for size, patch in zip(x.shape[:1:-1], reversed(self.patch_size)):
            amounts += [0, round_up(size, patch) - size]
        if torch.compiler.is_compiling() or any(amounts):
            x = F.pad(x, amounts)  # (B, in_channels, *padded)
        return self.norm(self.proj(x).movedim(1, -1))  # (B, *grid, C)


class PatchMerging(nn.Module):
    """Halve height and width, and double the channels.

    Swin V1 paper, section 3.1. The channels of four neighbours are
    concatenated in the official order: top left, bottom left, top right,
    bottom right. Odd heights and widths are padded with zeros. The axis of
    time stays as it is.

    Args:
        dim: Channels C of the input.
        norm: Class of the norm; None for no norm.
        post_norm: If true, the norm follows the linear layer and has 2C
            channels (Swin V2); else it precedes the layer and has 4C.
    """

    def __init__(
        self,
        dim: int,
        norm: type[nn.Module] | None = nn.LayerNorm,
        post_norm: bool = False,
    ) -> None:
        super().__init__()
        self.post_norm = post_norm
        channels = 2 * dim if post_norm else 4 * dim
        self.norm = norm(channels) if norm else nn.Identity()
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor, kernels: Kernels | None = None) -> Tensor:
        """Merge groups of 2 x 2 tokens.

        Args:
            x: Maps `(B, ..., H, W, C)`.
            kernels: Set of kernels; None to choose one for `x`.

        Returns:
            Maps `(B, ..., ceil(H/2), ceil(W/2), 2C)`.
        """
        kernels = choose(x) if kernels is None else kernels
        # (B, ..., H, W, C) with even H and W
        x = pad_to_multiple(x, (1,) * (x.ndim - 4) + (2, 2))
        x = torch.cat(
            [
                x[..., row::2, column::2, :]
                for column, row in product(range(2), repeat=2)
            ],
            -1,
        )  # (B, ..., H/2, W/2, 4C)
        weight = self.reduction.weight
        if self.post_norm:
            return self.norm(kernels.linear(x, weight, None))
        return kernels.linear(self.norm(x), weight, None)
