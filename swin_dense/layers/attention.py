"""Self-attention inside windows with a relative position bias."""
from functools import partial
from math import log, prod
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.layers.position_bias import LogPositionBias
from swin_dense.ops import (WindowMask, cpu_linear, in_blocks, prefers_blocks,
                            relative_index)
from swin_dense.ops.grid import Grid
from swin_dense.ops.shift import EXCLUDED, HIDDEN

# The largest factor of the cosines (V2 paper, section 3.2).
MAX_LOGIT_SCALE = 100.
# Shorter vectors count as shorter, not as unit vectors: float16, whose
# smallest normal number is 6e-5, leaves them no direction, and the gradient
# of the normalisation is up to one over this.
MIN_LENGTH = 1e-4


class AttentionCore(nn.Module):
    """Multi-head self-attention of each window; what the versions share.

    A version adds `position_bias` and says how queries and keys compare.
    Parameter names are those of the official checkpoints.

    Args:
        dim: Channels C.
        window_size: Nominal window, in tokens per axis.
        num_heads: Attention heads; must divide `dim`.
        attn_drop: Dropout of the attention weights.
        proj_drop: Dropout of the output.
        sequential: Whether windows are worked on a few at a time, and each
            attention map is computed anew in the backward pass instead of
            kept (V2 paper, section 3.4). Large windows then need much less
            memory. On a CPU float32 and float64 always do so.

    Attributes:
        scale: Factor of the products of queries and keys.
        excluded: What hides a key, see `window_mask`.

    Raises:
        ValueError: If `num_heads` does not divide `dim`, or dropout would be
            repeated.
    """

    scale = 1.
    excluded = EXCLUDED

    def __init__(self,
                 dim: int,
                 window_size: Grid,
                 num_heads: int,
                 attn_drop: float = 0.,
                 proj_drop: float = 0.,
                 sequential: bool = False) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(
                f'num_heads must divide the channels, got {num_heads=} for '
                f'{dim} channels')
        if sequential and attn_drop:
            raise ValueError(
                f'sequential attention computes attention weights twice, so '
                f'they cannot be dropped at random, got {attn_drop=}: set it '
                'to 0')
        self.window_size = window_size
        self.num_heads = num_heads
        self.sequential = sequential
        self.attn_drop = nn.Dropout(attn_drop)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)

    def position_bias(self, window: Grid) -> Tensor:
        """Bias `(heads, N, N)` for windows of a size up to the nominal."""
        raise NotImplementedError

    def init_position(self) -> None:
        """Draw the weights of the position bias anew."""
        raise NotImplementedError

    def _qkv_bias(self) -> Optional[Tensor]:
        """Bias of queries, keys and values, `(3 * C, )`."""
        return self.qkv.bias

    def _factors(self) -> tuple[Tensor, ...]:
        """Tensors that `_compare` takes, the same for all windows."""
        return ()

    def _compare(self, qk: Tensor, *factors: Tensor) -> Tensor:
        """Queries and keys whose products times `scale` are the logits.

        Args:
            qk: Queries and keys `(n, 2 * heads, N, C / heads)`, heads of
                the queries first; the result is laid out alike.
            factors: What `_factors` gives.
        """
        return qk

    def forward(self,
                windows: Tensor,
                bias: Tensor,
                mask: Optional[WindowMask] = None) -> Tensor:
        """Attend within each window.

        Args:
            windows: Tokens `(B * K, N, C)`.
            bias: What `position_bias` gives for these windows.
            mask: Masks of the K windows of a map.

        Returns:
            Tokens `(B * K, N, C)`.
        """
        if mask is not None:
            mask = WindowMask(
                mask.masks, mask.kinds.repeat(len(windows) // len(mask.kinds)))
        mix = partial(self._mix, mask)
        shared = (bias, *self._factors())
        on_cpu = prefers_blocks(windows)
        linear = cpu_linear if on_cpu else F.linear
        qkv = linear(windows, self.qkv.weight, self._qkv_bias())
        if self.sequential or (on_cpu and torch.is_grad_enabled()
                               and not self._drops()):
            x = in_blocks(mix, self.widest(windows), qkv, *shared)
        else:
            x = mix(slice(None), qkv, *shared)
        return self.proj_drop(linear(x, self.proj.weight, self.proj.bias))

    def _drops(self) -> bool:
        """Whether dropout acts on the attention weights."""
        return self.attn_drop.training and self.attn_drop.p > 0

    def widest(self, windows: Tensor) -> int:
        """Elements per window of the intermediate results, see `blocks_of`."""
        tokens, channels = windows.shape[1:]
        return tokens * (3 * channels + self.num_heads * tokens)

    def _mix(self, mask: Optional[WindowMask], rows: slice, qkv: Tensor,
             bias: Tensor, *factors: Tensor) -> Tensor:
        """Values `(n, N, C)` mixed by attention, for some of the windows.

        Args:
            mask: Masks of all windows.
            rows: Which windows these are.
            qkv: Queries, keys and values of these, `(n, N, 3 * C)`.
            bias: Position bias `(heads, N, N)`.
            factors: What `_factors` gives.
        """
        heads = qkv.unflatten(-1, (3 * self.num_heads, -1)).transpose(1, 2)
        qk, v = heads.split([2 * self.num_heads, self.num_heads], 1)
        q, k = self._compare(qk, *factors).chunk(2, 1)
        bias = bias[None]
        if mask is not None:
            bias = bias + mask.read(rows)[:, None]
        if self._drops() or torch.is_grad_enabled() and bias.requires_grad:
            # No fused kernel returns the gradient of a bias.
            logits = (q * self.scale) @ k.transpose(-2, -1) + bias
            x = self.attn_drop(logits.softmax(-1)).to(v.dtype) @ v
        else:
            x = F.scaled_dot_product_attention(
                q,
                k,
                v,
                bias.expand(len(q), -1, -1, -1).to(q.dtype),
                scale=self.scale)
        return x.transpose(1, 2).flatten(2)


class WindowAttention(AttentionCore):
    """Attention by scaled dot products (Swin V1 paper, section 3.2).

    The position bias is a learned table: a number per head and offset.

    Args:
        dim: Channels C.
        window_size: Window of the bias table, in tokens per axis.
        num_heads: Attention heads; must divide `dim`.
        qkv_bias: Whether queries, keys and values have a bias.
        qk_scale: Factor of the dot products; `(dim / num_heads) ** -0.5`
            where None.
        attn_drop: Dropout of the attention weights.
        proj_drop: Dropout of the output.
        sequential: See `AttentionCore`.

    Raises:
        ValueError: If `num_heads` does not divide `dim`, or dropout would be
            repeated.
    """

    def __init__(self,
                 dim: int,
                 window_size: Grid,
                 num_heads: int,
                 qkv_bias: bool = True,
                 qk_scale: Optional[float] = None,
                 attn_drop: float = 0.,
                 proj_drop: float = 0.,
                 sequential: bool = False) -> None:
        super().__init__(dim, window_size, num_heads, attn_drop, proj_drop,
                         sequential)
        self.scale = qk_scale or (dim // num_heads)**-0.5
        self.relative_position_bias_table = nn.Parameter(
            torch.zeros(prod(2 * w - 1 for w in window_size), num_heads))
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)

    def position_bias(self, window: Grid) -> Tensor:
        """Bias `(heads, N, N)` for windows of a size up to the table's."""
        return _lay_out(self.relative_position_bias_table,
                        relative_index(window, self.window_size))

    def init_position(self) -> None:
        """Draw the bias table anew."""
        nn.init.trunc_normal_(self.relative_position_bias_table, std=.02)


class CosineAttention(AttentionCore):
    """Attention by scaled cosines (Swin V2 paper, sections 3.2 and 3.3).

    The factor of the cosines is learned per head and at most 100. A network
    computes the position bias from offsets, so windows of any size have one.

    Args:
        dim: Channels C.
        window_size: Nominal window, in tokens per axis.
        num_heads: Attention heads; must divide `dim`.
        qkv_bias: Whether queries and values have a bias; keys have none.
        attn_drop: Dropout of the attention weights.
        proj_drop: Dropout of the output.
        sequential: See `AttentionCore`.
        pretrained_window_size: See `LogPositionBias`.
        logit_scale_init: Factor of the cosines that training starts from.

    Raises:
        ValueError: If `num_heads` does not divide `dim`, dropout would be
            repeated, or the factor is not above 0 and at most 100.
    """

    # The logits of a window differ by up to 216.
    excluded = HIDDEN

    def __init__(self,
                 dim: int,
                 window_size: Grid,
                 num_heads: int,
                 qkv_bias: bool = True,
                 attn_drop: float = 0.,
                 proj_drop: float = 0.,
                 sequential: bool = False,
                 pretrained_window_size: Optional[Grid] = None,
                 logit_scale_init: float = 10.) -> None:
        super().__init__(dim, window_size, num_heads, attn_drop, proj_drop,
                         sequential)
        if not 0 < logit_scale_init <= MAX_LOGIT_SCALE:
            raise ValueError(
                'logit_scale_init, the factor of the cosines, must be above 0 '
                f'and at most {MAX_LOGIT_SCALE:g}, got {logit_scale_init}')
        self.logit_scale_init = logit_scale_init
        self.cpb_mlp = LogPositionBias(window_size, num_heads,
                                       pretrained_window_size)
        self.logit_scale = nn.Parameter(
            torch.full((num_heads, 1, 1), log(logit_scale_init)))
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dim)) if qkv_bias else None
        self.v_bias = nn.Parameter(torch.zeros(dim)) if qkv_bias else None

    @property
    def pretrained_window_size(self) -> Grid:
        """Window that the weights were trained with, see `LogPositionBias`."""
        return self.cpb_mlp.pretrained_window_size

    def position_bias(self, window: Grid) -> Tensor:
        """Bias `(heads, N, N)`, evaluated for windows of this size."""
        return _lay_out(self.cpb_mlp(window), relative_index(window))

    def init_position(self) -> None:
        """Start the factor of the cosines as asked, the biases at 0.

        The layers of the network are drawn as all linear layers are.
        """
        nn.init.constant_(self.logit_scale, log(self.logit_scale_init))
        for bias in (self.q_bias, self.v_bias):
            if bias is not None:
                nn.init.zeros_(bias)

    def _qkv_bias(self) -> Optional[Tensor]:
        if self.q_bias is None or self.v_bias is None:
            return None
        return torch.cat(
            [self.q_bias,
             torch.zeros_like(self.q_bias), self.v_bias])

    def _factors(self) -> tuple[Tensor, ...]:
        dtype = torch.promote_types(self.logit_scale.dtype, torch.float32)
        scale = self.logit_scale.to(dtype)
        scale = scale.clamp(max=log(MAX_LOGIT_SCALE)).exp()
        return torch.cat([scale, torch.ones_like(scale)]),

    def _compare(self, qk: Tensor, *factors: Tensor) -> Tensor:
        # The square of a short float16 vector is 0, that of a long one
        # infinite.
        wide = qk.to(torch.promote_types(qk.dtype, torch.float32))
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        # One product does both: unit length, and the factor of the queries.
        return (wide * (factors[0] / length.clamp(min=MIN_LENGTH))).to(
            qk.dtype)


def _lay_out(table: Tensor, index: Tensor) -> Tensor:
    """Rows `(N, N)` of a bias table as biases `(heads, N, N)`."""
    # Head by head: ten times faster than by rows, the gradient too.
    bias = table.t().index_select(1, index.flatten().to(table.device))
    return bias.view(-1, *index.shape)
