"""Attention maps of a block, laid out on the map of tokens.

A block attends within windows, which are padded and, in every second block,
shifted. Here each weight is put back to the token that it belongs to.

Dimension key: h heads, K windows of the map, N tokens per window, C channels.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from swin_dense import kernels
from swin_dense.backbones import CompositeBackbone
from swin_dense.backbones.base import SwinPyramid
from swin_dense.kernels import PlainKernels
from swin_dense.layers.attention import WindowAttentionBase
from swin_dense.ops import SizeCache, WindowLayout, cut_windows, window_mask
from swin_dense.ops.grid import Grid, format_size

# Number of attention weights that are computed at a time, 256 MB.
AT_ONCE = 2**26


@dataclass(frozen=True)
class AttentionRecord:
    """The input of an attention in a forward pass of one image or clip.

    Attributes:
        mixer: The attention.
        x: Its input `(1, *grid, C)`.
        layout: Position of the windows.
        head_mixers: Layers that mix heads (Mini-Swin); None without them.
    """

    mixer: WindowAttentionBase
    x: Tensor
    layout: WindowLayout
    head_mixers: Any = None

    @property
    def grid(self) -> Grid:
        """Size of the map in tokens per axis."""
        return self.layout.grid

    def places(self) -> Tensor:
        """Return the token in each slot of each window.

        Returns:
            Numbers of tokens in row-major order of the map `(K, N)`; -1 in
            slots of padding.
        """
        numbers = torch.arange(1, prod(self.grid) + 1, device=self.x.device)
        numbers = numbers.view(1, *self.grid, 1)  # (1, *grid, 1)
        return cut_windows(numbers, self.layout)[..., 0] - 1  # (K, N)

    @torch.no_grad()
    def window_weights(self, rows: slice) -> Tensor:
        """Return the attention weights of some windows.

        They are the ones with which the block mixes values: with position
        bias and masks, and with padding as the model sees it.

        Args:
            rows: Windows of the map, in row-major order.

        Returns:
            Weights `(n, heads, N, N)`, a row for each query.
        """
        plain = PlainKernels(SizeCache())
        shared: Any = self.mixer.prepare(self.layout.window, plain.cache)
        mask = plain.cache.get(
            window_mask, self.layout, 1, self.x.dtype, device=self.x.device
        )
        windows = cut_windows(self.x, self.layout)[rows]  # (n, N, C)
        if self.head_mixers is not None:
            shared = shared, self.head_mixers
        return self.mixer.weights(
            windows,
            shared,
            None if mask is None else mask.for_windows(rows),
            plain,
        )

    def of_query(self, token: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return how much a token takes from each token.

        Args:
            token: Position of the query on the map, in tokens per axis.

        Returns:
            Weights `(heads, *grid)`, 0 outside of the query's window; and the
            share of each head that goes to padding `(heads, )`.

        Raises:
            ValueError: If the map has no such token.
        """
        if len(token) != len(self.grid) or not all(
            0 <= place < size for place, size in zip(token, self.grid)
        ):
            raise ValueError(
                f'the map has {format_size(self.grid)} tokens, so there is '
                f'no token {tuple(token)}'
            )
        number = 0
        for place, size in zip(token, self.grid):
            number = number * size + place
        places = self.places()
        window, slot = (places == number).nonzero()[0].tolist()
        weights = self.window_weights(slice(window, window + 1))
        weights = weights[0, :, slot]  # (h, N)
        is_token = places[window] >= 0
        result = weights.new_zeros(len(weights), prod(self.grid))
        result[:, places[window][is_token]] = weights[:, is_token]
        padding = weights[:, ~is_token].sum(1)
        return result.unflatten(1, self.grid), padding

    def received(self) -> Tensor:
        """Return how much each token gives to all tokens of its window.

        It is the sum of its weights over all queries. With uniform attention
        and without padding, it is 1 everywhere. Queries of padding, whose
        results the model drops, do not count.

        Returns:
            Sums `(heads, *grid)`.
        """
        places = self.places()
        windows, tokens = places.shape
        heads = self.mixer.num_heads
        result = self.x.new_zeros(heads, prod(self.grid))
        step = max(1, AT_ONCE // (heads * tokens**2))
        for start in range(0, windows, step):
            rows = slice(start, min(start + step, windows))
            weights = self.window_weights(rows)  # (n, h, N, N)
            is_token = places[rows] >= 0  # (n, N)
            sums = torch.einsum(
                'nhqk,nq->hnk', weights, is_token.to(weights.dtype)
            )
            result[:, places[rows][is_token]] = sums[:, is_token]
        return result.unflatten(1, self.grid)


def record_attention(
    backbone: nn.Module, x: Tensor, stage: int, block: int
) -> AttentionRecord:
    """Run a backbone on an input, and keep the input of an attention.

    Args:
        backbone: A backbone of this package in evaluation mode, or a
            `CompositeBackbone`, of which the lead is taken.
        x: Normalised image `(1, C, H, W)` or clip `(1, C, T, H, W)`.
        stage: Number of the stage, from 0.
        block: Number of the block in its stage, from 0. A block of Mini-Swin
            that is run twice counts twice.

    Raises:
        ValueError: If the backbone is not of this package, there is no such
            block, the block mixes tokens without attention, or the input is
            not a single image or clip.
    """
    pyramid = find_pyramid(backbone)
    if len(x) != 1:
        raise ValueError(f'attention is shown of one input, got {len(x)}')
    depths = count_blocks(pyramid)
    if not 0 <= stage < len(depths) or not 0 <= block < depths[stage]:
        blocks = ', '.join(
            f'{number}.0 to {number}.{depth - 1}'
            for number, depth in enumerate(depths)
        )
        raise ValueError(
            f'there is no block {stage}.{block} (stage.block); the blocks of '
            f'this {type(pyramid).__name__} are {blocks}'
        )
    mixers = {entry.mixer for entry in _stages(pyramid)[stage].blocks}
    for mixer in mixers:
        if not isinstance(mixer, WindowAttentionBase):
            raise ValueError(
                f'the blocks of {type(pyramid).__name__} mix tokens by '
                f'{type(mixer).__name__}, whose weights are learned and the '
                'same for every image: there is no attention to show. The '
                'class activation shows what such a model looks at'
            )
    calls: list[AttentionRecord | None] = []

    def keep(mixer: Any, inputs: Any) -> None:
        """Keep the input of the block's attention; count all calls."""
        tokens, layout, _, *rest = inputs
        is_wanted = len(calls) == block
        calls.append(
            AttentionRecord(mixer, tokens.detach(), layout, *rest)
            if is_wanted
            else None
        )

    with ExitStack() as stack:
        for mixer in mixers:
            stack.callback(mixer.register_forward_pre_hook(keep).remove)
        # Other kernels may run a block without calling its attention.
        stack.enter_context(kernels.use('plain'))
        stack.enter_context(torch.no_grad())
        backbone(x)
    record = calls[block]
    assert record is not None
    return record


def find_pyramid(backbone: nn.Module) -> SwinPyramid:
    """Return the pyramid of a backbone: itself, or the lead of a composite.

    Raises:
        ValueError: If the backbone is not of this package.
    """
    if isinstance(backbone, CompositeBackbone):
        return backbone.lead
    if not isinstance(backbone, SwinPyramid):
        raise ValueError(
            'attention maps are for backbones of this package, such as '
            f'swin_dense.SwinTransformer, and this one is a '
            f'{type(backbone).__name__}: change the type of the backbone in '
            'the config, or look at the class activation'
        )
    return backbone


def count_blocks(pyramid: SwinPyramid) -> list[int]:
    """Return the number of blocks of each stage.

    A block of Mini-Swin that is run twice counts twice.
    """
    return [
        sum(len(entry.runs) for entry in layer.blocks)
        for layer in _stages(pyramid)
    ]


def _stages(pyramid: SwinPyramid) -> Any:
    return pyramid.layers
