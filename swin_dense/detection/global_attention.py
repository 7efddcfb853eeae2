"""Global self-attention on the last stage, and an FPN that begins with it.

HTC++ of the Swin V1 paper (appendix A2.2) appends "an extra global
self-attention layer" to the output of the last stage, without details. The
published parameters and FLOPs match a whole transformer block: attention and
a feed-forward network of ratio 4; see docs/htcpp.md. The initial values, and
the norms before both branches as in Swin, are our choice.

B is the batch, C the channels, H and W the height and width of a map, N = H *
W the number of its tokens, D the channels of a head.
"""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmdet.models.necks import FPN
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from swin_dense.layers.drop_path import DropPath
from swin_dense.layers.feedforward import FeedForward
from swin_dense.registry import MODELS

HEAD_DIM = 32  # channels of a head, in all stages of Swin


class GlobalAttention(nn.Module):
    """A transformer block in which each token attends to all tokens.

    The last layer of each branch starts at zero, so that the block is the
    identity at first and the features of a pretrained backbone are kept.
    Attention uses PyTorch's fused kernel, so memory grows with N and not with
    its square. As in Swin, tokens of the batch's padding are not masked.

    Args:
        dim: Channels C of the map.
        num_heads: Number of heads; by default C // 32.
        mlp_ratio: Hidden channels of the feed-forward network, in multiples
            of C. 0 leaves the network out.
        drop_path_rate: Probability that a branch of a sample is dropped in
            training.
        with_cp: If True, recompute the block in the backward pass instead of
            keeping its activations (gradient checkpointing).

    Raises:
        ValueError: If the number of heads does not divide the channels.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int | None = None,
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        num_heads = num_heads or max(1, dim // HEAD_DIM)
        if dim % num_heads:
            raise ValueError(
                f'{num_heads} heads do not divide {dim} channels '
                'evenly: set num_heads of global_attention to a '
                'divisor'
            )
        self.num_heads = num_heads
        self.with_cp = with_cp
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        ends = [self.proj]
        self.mlp = None
        if mlp_ratio:
            self.norm2 = nn.LayerNorm(dim)
            self.mlp = FeedForward(dim, int(mlp_ratio * dim))
            ends.append(self.mlp.fc2)
        self.drop_path = DropPath(drop_path_rate)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        for layer in ends:
            nn.init.zeros_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map `(B, C, H, W)` after attention, in the same shape."""
        if self.with_cp and x.requires_grad:
            return checkpoint(self._forward, x, use_reentrant=False)
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)  # (B, N, C)
        tokens = tokens + self.drop_path(self._attend(self.norm1(tokens)))
        if self.mlp is not None:
            tokens = tokens + self.drop_path(self.mlp(self.norm2(tokens)))
        return tokens.transpose(1, 2).reshape(x.shape)  # (B, C, H, W)

    def _attend(self, tokens: Tensor) -> Tensor:
        """Apply self-attention to tokens `(B, N, C)`."""
        qkv = self.qkv(tokens)
        qkv = qkv.unflatten(-1, (3, self.num_heads, -1))  # (B, N, 3, heads, D)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, N, D) each
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))  # (B, N, C)


@MODELS.register_module()
class GlobalAttentionFPN(FPN):
    """mmdet's FPN with global self-attention on its last input.

    Args:
        in_channels: Channels of each input; see mmdet's FPN, also for all
            other arguments.
        global_attention: Arguments of `GlobalAttention` besides `dim`; None
            for an FPN without attention.
    """

    def __init__(
        self,
        in_channels: list[int],
        *args: Any,
        global_attention: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, *args, **kwargs)
        self.global_attention = None
        if global_attention is not None:
            self.global_attention = GlobalAttention(
                in_channels[-1], **global_attention
            )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the pyramid of the inputs.

        Args:
            inputs: Maps `(B, C_i, H_i, W_i)` of the stages.

        Returns:
            Maps `(B, out_channels, H_i, W_i)`, and the FPN's extra levels.
        """
        if self.global_attention is not None:
            inputs = (*inputs[:-1], self.global_attention(inputs[-1]))
        return super().forward(inputs)
