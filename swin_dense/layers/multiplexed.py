"""Blocks that are run several times with the same weights (Mini-Swin)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.kernels import AttentionTerms, Kernels, choose
from swin_dense.layers.attention import WindowAttention
from swin_dense.layers.drop_path import DropPath
from swin_dense.layers.mixer import WindowMixer
from swin_dense.ops import WindowLayout

# Kernel of the convolution that follows attention.
_LOCAL_KERNEL = 7


class HeadMixers(NamedTuple):
    """Layers that mix the heads of an attention in one run of a block.

    Attributes:
        logits: Layer from heads to heads, for logits.
        weights: Layer from heads to heads, for attention weights.
    """

    logits: nn.Module
    weights: nn.Module


class HeadMixingAttention(WindowAttention):
    """Attention whose heads exchange logits and attention weights.

    MiniViT paper (arXiv 2204.07154), section 3.2. The layers that mix the
    heads belong to a run of the block and are given to `forward`; without
    them, this is `WindowAttention`.
    """

    def forward(
        self,
        x: Tensor,
        layout: WindowLayout,
        kernels: Kernels,
        head_mixers: HeadMixers | None = None,
    ) -> Tensor:
        """Attend within the windows of maps `(B, *grid, C)`."""
        shared = self.prepare(layout.window, kernels.cache)
        mix = partial(self._mix, (shared, head_mixers), kernels)
        return kernels.mix_windows(x, layout, mix)

    def mix(
        self,
        windows: Tensor,
        shared: Any,
        mask: Tensor | None,
        kernels: Kernels,
    ) -> Tensor:
        """Attend within windows `(n, N, C)`.

        Args:
            windows: Tokens `(n, N, C)`.
            shared: What `prepare` returned, alone or with `HeadMixers`.
            mask: Mask `(n or 1, N, N)`, added after the logits are mixed.
            kernels: Set of kernels that computes linear layers.
        """
        terms, head_mixers = _terms(shared)
        if head_mixers is None:
            return super().mix(windows, terms, mask, kernels)
        n, tokens, channels = windows.shape
        q, k, v = self._split(windows, terms, kernels)  # (n, h, N, D)
        weights = self._weights(q, k, terms, head_mixers, mask)
        weights = F.dropout(weights, terms.dropout)
        x = (weights.to(v.dtype) @ v).transpose(1, 2)  # (n, N, h, D)
        x = x.reshape(n, tokens, channels)  # (n, N, C)
        return self._project(x, kernels)

    def weights(
        self,
        windows: Tensor,
        shared: Any,
        mask: Tensor | None,
        kernels: Kernels,
    ) -> Tensor:
        """Return the weights with which `mix` mixes values, without dropout.

        Heads are mixed after the softmax, so weights may be negative, and
        those of a query need not add up to 1.

        Args:
            windows: Tokens `(n, N, C)`.
            shared: What `prepare` returned, alone or with `HeadMixers`.
            mask: Mask `(n or 1, N, N)`, or None.
            kernels: Set of kernels that computes linear layers.

        Returns:
            Weights `(n, heads, N, N)`, a row for each query.
        """
        terms, head_mixers = _terms(shared)
        if head_mixers is None:
            return super().weights(windows, terms, mask, kernels)
        q, k, _ = self._split(windows, terms, kernels)  # (n, h, N, D)
        return self._weights(q, k, terms, head_mixers, mask)

    def _split(
        self, windows: Tensor, terms: AttentionTerms, kernels: Kernels
    ) -> Tensor:
        """Return queries, keys and values `(3, n, h, N, D)` of windows."""
        n, tokens, _ = windows.shape
        qkv = kernels.linear(windows, self.qkv.weight, terms.padding)
        qkv = qkv.view(n, tokens, 3, self.num_heads, -1)  # (n, N, 3, h, D)
        return qkv.permute(2, 0, 3, 1, 4)  # (3, n, h, N, D)

    @staticmethod
    def _weights(
        q: Tensor,
        k: Tensor,
        terms: AttentionTerms,
        head_mixers: HeadMixers,
        mask: Tensor | None,
    ) -> Tensor:
        """Return the attention weights `(n, h, N, N)` of mixed heads."""
        logits = (q * terms.scale) @ k.mT  # (n, h, N, N)
        logits = _mix_heads(logits + terms.bias, head_mixers.logits)
        if mask is not None:
            logits = logits + mask[:, None]  # (n, h, N, N)
        return _mix_heads(logits.softmax(-1), head_mixers.weights)


def _terms(shared: Any) -> tuple[AttentionTerms, HeadMixers | None]:
    """Return the terms of an attention, and its layers that mix heads."""
    if isinstance(shared, AttentionTerms):
        return shared, None
    return shared


def _mix_heads(x: Tensor, layer: Any) -> Tensor:
    """Apply a layer to the heads of a tensor `(n, h, N, N)`."""
    mixed = torch.einsum('nhqk,gh->ngqk', x, layer.weight)  # (n, h, N, N)
    return mixed + layer.bias[:, None, None]


class MultiplexedBlock(nn.Module):
    """A block that is run several times (MiniViT paper, section 3).

    Attention and feed-forward network have the same weights in each run. Each
    run has its own norms, its own layers that mix the heads of the attention,
    and a norm and a depth-wise convolution between the two branches. Unlike
    the other norms, this norm is on the main branch. Parameters are named as
    in official checkpoints.

    Args:
        dim: Channels C.
        mixer: Attention of all runs, a `HeadMixingAttention`.
        feedforward: Network of single tokens of all runs.
        norm: Class of the norms; it is called with the number of channels.
        drop_path: Stochastic depth rate of both branches, for each run.
    """

    def __init__(
        self,
        dim: int,
        mixer: WindowMixer,
        feedforward: nn.Module,
        norm: Callable[[int], nn.Module],
        drop_path: Sequence[float],
    ) -> None:
        super().__init__()
        attention: Any = mixer
        heads, runs = attention.num_heads, range(len(drop_path))
        self.attn = attention
        self.mlp = feedforward
        self.norm1_list = nn.ModuleList(norm(dim) for _ in runs)
        self.norm2_list = nn.ModuleList(norm(dim) for _ in runs)
        self.proj_l = nn.ModuleList(nn.Linear(heads, heads) for _ in runs)
        self.proj_w = nn.ModuleList(nn.Linear(heads, heads) for _ in runs)
        self.local_norm_list = nn.ModuleList(norm(dim) for _ in runs)
        self.local_conv_list = nn.ModuleList(
            nn.Conv2d(
                dim, dim, _LOCAL_KERNEL, padding=_LOCAL_KERNEL // 2, groups=dim
            )
            for _ in runs
        )
        self.drop_path = nn.ModuleList(DropPath(rate) for rate in drop_path)

    @property
    def mixer(self) -> HeadMixingAttention:
        """Return the attention."""
        return self.attn

    @property
    def runs(self) -> tuple[Callable[..., Tensor], ...]:
        """Return the runs of a forward pass, to be called as a `SwinBlock`."""
        return tuple(
            partial(self, run=run) for run in range(len(self.drop_path))
        )

    def forward(
        self,
        x: Tensor,
        layout: WindowLayout,
        kernels: Kernels | None = None,
        run: int = 0,
    ) -> Tensor:
        """Compute a run of the block.

        Args:
            x: Maps `(B, H, W, C)`.
            layout: Position of the windows.
            kernels: Set of kernels; None to choose one for `x`.
            run: Number of the run.

        Returns:
            Maps `(B, H, W, C)`.
        """
        kernels = choose(x) if kernels is None else kernels
        drop_path = self.drop_path[run]
        head_mixers = HeadMixers(self.proj_l[run], self.proj_w[run])
        normed = self.norm1_list[run](x)
        mixed = self.attn(normed, layout, kernels, head_mixers)
        x = self.local_norm_list[run](x + drop_path(mixed))
        local = self.local_conv_list[run](x.movedim(-1, 1))  # (B, C, H, W)
        x = x + local.movedim(1, -1)  # (B, H, W, C)
        normed = self.norm2_list[run](x)
        return x + drop_path(self.mlp(normed, kernels))
