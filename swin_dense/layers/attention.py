"""Self-attention inside windows with a relative position bias."""

from math import log, prod

import torch
from torch import Tensor, nn

from swin_dense.kernels import (
    AttentionTerms,
    Kernels,
    attend,
    attention_weights,
)
from swin_dense.layers.log_position_bias import LogPositionBias
from swin_dense.layers.mixer import WindowMixer
from swin_dense.ops import (
    HARD_MASK_VALUE,
    OFFICIAL_MASK_VALUE,
    SizeCache,
    WindowLayout,
    relative_index,
)
from swin_dense.ops.grid import Grid

# The largest factor of the cosines (V2 paper, section 3.2).
MAX_LOGIT_SCALE = 100.0


class WindowAttentionBase(WindowMixer):
    """Multi-head self-attention of each window: the part V1 and V2 share.

    A subclass adds the layer `qkv` of queries, keys and values, and
    `position_bias`. Parameter names are those of the official checkpoints.

    Args:
        dim: Channels C.
        window_size: Nominal window, in tokens per axis.
        num_heads: Attention heads; must divide `dim`.
        attn_drop: Dropout of the attention weights.
        proj_drop: Dropout of the output.
        sequential: If true, a few windows are computed at a time, and the
            backward pass recomputes each attention map instead of keeping it
            (V2 paper, section 3.4). Large windows then need much less
            memory. The CPU kernels always do so in float32 and float64.

    Attributes:
        scale: Factor of the products of queries and keys.

    Raises:
        ValueError: If `num_heads` does not divide `dim`, or if `sequential`
            meets dropout of attention weights, since the recomputation would
            draw other weights.
    """

    mask_value = OFFICIAL_MASK_VALUE
    scale = 1.0
    qkv: nn.Linear

    def __init__(
        self,
        dim: int,
        window_size: Grid,
        num_heads: int,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        sequential: bool = False,
    ) -> None:
        super().__init__(window_size)
        if dim % num_heads:
            raise ValueError(
                f'num_heads must divide the channels, got {num_heads=} for '
                f'{dim} channels'
            )
        if sequential and attn_drop:
            raise ValueError(
                f'sequential attention computes attention weights twice, so '
                f'they cannot be dropped at random, got {attn_drop=}: set it '
                'to 0'
            )
        self.dim = dim
        self.num_heads = num_heads
        self.sequential = sequential
        self.attn_drop = nn.Dropout(attn_drop)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)

    def position_bias(
        self, window: Grid, cache: SizeCache | None = None
    ) -> Tensor:
        """Return the position bias `(heads, N, N)` of a window.

        Args:
            window: Window in use, in tokens per axis; at most the nominal
                window.
            cache: Keeps tensors that depend on sizes alone.
        """
        raise NotImplementedError

    def _qkv_bias(self) -> Tensor | None:
        """Return the bias `(3 * C, )` of queries, keys and values."""
        return self.qkv.bias

    def _cosine(self) -> Tensor | None:
        """Return the factor of the cosines, None for dot products."""
        return None

    def prepare(self, window: Grid, cache: SizeCache) -> AttentionTerms:
        """Return the tensors and settings that all windows share."""
        drop = self.attn_drop
        return AttentionTerms(
            self.position_bias(window, cache),
            self._qkv_bias(),
            self.scale,
            self._cosine(),
            drop.p if drop.training else 0.0,
            self.sequential,
        )

    def forward(
        self, x: Tensor, layout: WindowLayout, kernels: Kernels
    ) -> Tensor:
        """Attend within the windows of maps `(B, *grid, C)`.

        Queries, keys and values are linear in single tokens, so they are
        computed on the map.
        """
        terms = self.prepare(layout.window, kernels.cache)
        # (B, *grid, 3 * C), then (B, *grid, C)
        qkv = kernels.linear(x, self.qkv.weight, terms.padding)
        x = kernels.window_attention(qkv, layout, terms)
        return self._project(x, kernels)

    def mix(
        self,
        windows: Tensor,
        shared: AttentionTerms,
        mask: Tensor | None,
        kernels: Kernels,
    ) -> Tensor:
        """Attend within windows `(n, N, C)`."""
        # (n, N, 3 * C)
        qkv = kernels.linear(windows, self.qkv.weight, shared.padding)
        return self._project(attend(qkv, mask, shared), kernels)

    def weights(
        self,
        windows: Tensor,
        shared: AttentionTerms,
        mask: Tensor | None,
        kernels: Kernels,
    ) -> Tensor:
        """Return the weights with which `mix` mixes values, without dropout.

        Args:
            windows: Tokens `(n, N, C)`.
            shared: What `prepare` returned.
            mask: Mask `(n or 1, N, N)` to add to the logits, or None.
            kernels: Set of kernels that computes linear layers.

        Returns:
            Weights `(n, heads, N, N)`, a row for each query.
        """
        # (n, N, 3 * C)
        qkv = kernels.linear(windows, self.qkv.weight, shared.padding)
        return attention_weights(qkv, mask, shared)

    def _project(self, x: Tensor, kernels: Kernels) -> Tensor:
        """Return the output projection of tokens `(..., C)`."""
        return self.proj_drop(
            kernels.linear(x, self.proj.weight, self.proj.bias)
        )

    def elements_per_window(self, window: Grid) -> int:
        """Count queries, keys, values and attention weights of a window."""
        tokens = prod(window)
        return tokens * (3 * self.dim + self.num_heads * tokens)


class WindowAttention(WindowAttentionBase):
    """Attention by scaled dot products (Swin V1 paper, section 3.2).

    The position bias is a learned table: a number per head and offset.

    Args:
        dim: Channels C.
        window_size: Window of the bias table, in tokens per axis.
        num_heads: Attention heads; must divide `dim`.
        qkv_bias: If true, queries, keys and values have a bias.
        qk_scale: Factor of the dot products; `(dim / num_heads) ** -0.5`
            if None.
        attn_drop: Dropout of the attention weights.
        proj_drop: Dropout of the output.
        sequential: See `WindowAttentionBase`.

    Raises:
        ValueError: See `WindowAttentionBase`.
    """

    def __init__(
        self,
        dim: int,
        window_size: Grid,
        num_heads: int,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        sequential: bool = False,
    ) -> None:
        super().__init__(
            dim, window_size, num_heads, attn_drop, proj_drop, sequential
        )
        self.scale = qk_scale or (dim // num_heads) ** -0.5
        self.relative_position_bias_table = nn.Parameter(
            torch.zeros(prod(2 * w - 1 for w in window_size), num_heads)
        )
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)

    def position_bias(
        self, window: Grid, cache: SizeCache | None = None
    ) -> Tensor:
        """Return the bias `(heads, N, N)`, gathered from the table."""
        table = self.relative_position_bias_table
        index = (SizeCache() if cache is None else cache).get(
            relative_index, window, self.window_size, device=table.device
        )
        return _gather_bias(table, index)

    def reset_parameters(self) -> None:
        """Initialise the bias table."""
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)


class LogBiasAttention(WindowAttentionBase):
    """Attention by scaled dot products, with the log-MLP of V2.

    Official code of Swin-MoE. Unlike in V2, no sigmoid bounds the position
    bias, and queries, keys and values have a bias as in V1.

    Args:
        dim: Channels C.
        window_size: Nominal window, in tokens per axis.
        num_heads: Attention heads; must divide `dim`.
        qkv_bias: If true, queries, keys and values have a bias.
        qk_scale: Factor of the dot products; `(dim / num_heads) ** -0.5`
            if None.
        attn_drop: Dropout of the attention weights.
        proj_drop: Dropout of the output.
        sequential: See `WindowAttentionBase`.
        pretrained_window_size: See `LogPositionBias`.

    Raises:
        ValueError: See `WindowAttentionBase`.
    """

    def __init__(
        self,
        dim: int,
        window_size: Grid,
        num_heads: int,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        sequential: bool = False,
        pretrained_window_size: Grid | None = None,
    ) -> None:
        super().__init__(
            dim, window_size, num_heads, attn_drop, proj_drop, sequential
        )
        self.scale = qk_scale or (dim // num_heads) ** -0.5
        self.cpb_mlp = LogPositionBias(
            window_size, num_heads, pretrained_window_size, bound=None
        )
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)

    @property
    def pretrained_window_size(self) -> Grid:
        """Return the window of the pre-training, see `LogPositionBias`."""
        return self.cpb_mlp.pretrained_window_size

    def position_bias(
        self, window: Grid, cache: SizeCache | None = None
    ) -> Tensor:
        """Return the bias `(heads, N, N)`, computed by the log-MLP."""
        return _computed_bias(self.cpb_mlp, window, cache)


class CosineAttention(WindowAttentionBase):
    """Attention by scaled cosines (Swin V2 paper, sections 3.2 and 3.3).

    The factor of the cosines is learned per head and at most 100. A network
    computes the position bias from offsets, so windows of any size have one.

    Args:
        dim: Channels C.
        window_size: Nominal window, in tokens per axis.
        num_heads: Attention heads; must divide `dim`.
        qkv_bias: If true, queries and values have a bias; keys have none.
        attn_drop: Dropout of the attention weights.
        proj_drop: Dropout of the output.
        sequential: See `WindowAttentionBase`.
        pretrained_window_size: See `LogPositionBias`.
        logit_scale_init: Factor of the cosines that training starts from.

    Raises:
        ValueError: If the factor is not above 0 and at most 100, and see
            `WindowAttentionBase`.
    """

    # Cosines times 100 and biases up to 16: the logits of a window differ by
    # up to 216, so the official value would not hide a key.
    mask_value = HARD_MASK_VALUE

    def __init__(
        self,
        dim: int,
        window_size: Grid,
        num_heads: int,
        qkv_bias: bool = True,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        sequential: bool = False,
        pretrained_window_size: Grid | None = None,
        logit_scale_init: float = 10.0,
    ) -> None:
        super().__init__(
            dim, window_size, num_heads, attn_drop, proj_drop, sequential
        )
        if not 0 < logit_scale_init <= MAX_LOGIT_SCALE:
            raise ValueError(
                'logit_scale_init, the factor of the cosines, must be above 0 '
                f'and at most {MAX_LOGIT_SCALE:g}, got {logit_scale_init}'
            )
        self.logit_scale_init = logit_scale_init
        self.cpb_mlp = LogPositionBias(
            window_size, num_heads, pretrained_window_size
        )
        self.logit_scale = nn.Parameter(
            torch.full((num_heads, 1, 1), log(logit_scale_init))
        )
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dim)) if qkv_bias else None
        self.v_bias = nn.Parameter(torch.zeros(dim)) if qkv_bias else None

    @property
    def pretrained_window_size(self) -> Grid:
        """Return the window of the pre-training, see `LogPositionBias`."""
        return self.cpb_mlp.pretrained_window_size

    def position_bias(
        self, window: Grid, cache: SizeCache | None = None
    ) -> Tensor:
        """Return the bias `(heads, N, N)`, computed by the log-MLP."""
        return _computed_bias(self.cpb_mlp, window, cache)

    def reset_parameters(self) -> None:
        """Initialise the factor of the cosines and the biases.

        The linear layers of the log-MLP are initialised by the backbone.
        """
        nn.init.constant_(self.logit_scale, log(self.logit_scale_init))
        for bias in (self.q_bias, self.v_bias):
            if bias is not None:
                nn.init.zeros_(bias)

    def _qkv_bias(self) -> Tensor | None:
        """Return the bias `(3 * C, )`, which is 0 for keys."""
        if self.q_bias is None or self.v_bias is None:
            return None
        return torch.cat(
            [self.q_bias, torch.zeros_like(self.q_bias), self.v_bias]
        )

    def _cosine(self) -> Tensor:
        """Return the factor of the cosines `(heads, 1, 1)`, at most 100."""
        dtype = torch.promote_types(self.logit_scale.dtype, torch.float32)
        scale = self.logit_scale.to(dtype)
        return scale.clamp(max=log(MAX_LOGIT_SCALE)).exp()


def _computed_bias(
    log_mlp: LogPositionBias, window: Grid, cache: SizeCache | None
) -> Tensor:
    """Return the bias `(heads, N, N)` that a log-MLP computes."""
    cache = SizeCache() if cache is None else cache
    table = log_mlp(window, cache)
    index = cache.get(relative_index, window, device=table.device)
    return _gather_bias(table, index)


def _gather_bias(table: Tensor, index: Tensor) -> Tensor:
    """Gather biases `(heads, N, N)` from a table `(offsets, heads)`.

    Args:
        table: Bias per offset and head.
        index: Row of the table for each pair of tokens, `(N, N)`.
    """
    # Gathering along the last axis is ten times faster than gathering rows,
    # in the backward pass too.
    bias = table.t().index_select(1, index.flatten())  # (heads, N * N)
    return bias.view(-1, *index.shape)  # (heads, N, N)
