"""Read windows from maps by index, and write them back.

Reading by index replaces padding, shift and partition: one pass over memory
instead of three. Windows with the same mask are neighbours in the index, so
most chunks need a single mask.

Dimension key: B maps, H and W tokens of a map, K windows of a map, N tokens of
a window, n windows of a chunk, C channels.
"""

from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from swin_dense.ops import WindowLayout, WindowMask, cut_windows, window_mask


class WindowChunk(NamedTuple):
    """Consecutive windows of a `WindowIndex`.

    Attributes:
        rows: Range of these windows among all windows of the index.
        token_of_slot: Token in each slot of each window, `(n * N, )`.
        padding: Slots that hold padding, where `token_of_slot` is arbitrary;
            None if no slot does.
        inside: Slots that hold a token; None if all slots do.
        mask_index: Mask of each window, `(n, )`, or `(1, )` if the windows
            share a mask; None if nothing is hidden.
    """

    rows: slice
    token_of_slot: Tensor
    padding: Tensor | None
    inside: Tensor | None
    mask_index: Tensor | None

    def mask(self, mask: WindowMask | None) -> Tensor | None:
        """Return the masks `(n or 1, N, N)` of these windows."""
        if mask is None or self.mask_index is None:
            return None
        return mask.masks.index_select(0, self.mask_index)

    def gather(
        self, tokens: Tensor, window_tokens: int, filler: Tensor | None = None
    ) -> Tensor:
        """Read these windows `(n, N, C)` from tokens `(B * H * W, C)`.

        Args:
            tokens: All tokens of all maps.
            window_tokens: Tokens N of a window.
            filler: Token `(C, )` that padding consists of; zeros if None.
        """
        windows = tokens.index_select(0, self.token_of_slot)  # (n * N, C)
        self.fill(windows, filler)
        return windows.view(-1, window_tokens, tokens.shape[-1])  # (n, N, C)

    def fill(self, slots: Tensor, filler: Tensor | None = None) -> None:
        """Write the filler into padding in slots `(n * N, C)`, in place."""
        if self.padding is None:
            return
        if filler is None:
            slots.index_fill_(0, self.padding, 0)
        else:
            slots[self.padding] = filler.to(slots.dtype)


class WindowIndex(NamedTuple):
    """The slots that the tokens of a batch of maps have in its windows.

    Attributes:
        chunks: All windows, sorted by their masks.
        slot_of_token: Slot of each token, `(B * H * W, )`.
    """

    chunks: tuple[WindowChunk, ...]
    slot_of_token: Tensor


def slices(rows: int, count: int) -> list[slice]:
    """Return `count` consecutive slices of nearly equal length."""
    edges = [rows * number // count for number in range(count + 1)]
    return [slice(*edge) for edge in zip(edges, edges[1:])]


def make_window_index(
    layout: WindowLayout, batch: int, count: int = 1
) -> WindowIndex:
    """Make the index of a batch of maps.

    Args:
        layout: Position of the windows of a map.
        batch: Number of maps B.
        count: Number of chunks.
    """
    tokens, size = batch * prod(layout.grid), prod(layout.window)
    # Tokens count from 1, so that 0 is padding.
    number = torch.arange(1, tokens + 1)
    number = number.view(batch, *layout.grid, 1)  # (B, *grid, 1)
    number = cut_windows(number, layout).squeeze(-1)  # (B * K, N)
    # Windows are also sorted by where their padding is.
    sort_mask = window_mask(
        layout._replace(mask_padding=True, mask_value=0.0), batch
    )
    if sort_mask is None:
        order = torch.arange(len(number))
    else:
        order = sort_mask.mask_index.argsort(stable=True)
    number = number[order]
    slot_of_token = torch.empty(tokens + 1, dtype=torch.long)
    number = number.flatten()  # (B * K * N, )
    slot_of_token[number] = torch.arange(len(number))
    mask = window_mask(layout, batch)
    mask_index = None if mask is None else mask.mask_index[order]
    chunks = tuple(
        _chunk(rows, number[rows.start * size : rows.stop * size], mask_index)
        for rows in slices(len(order), count)
    )
    return WindowIndex(chunks, slot_of_token[1:])


def _chunk(
    rows: slice, number: Tensor, mask_index: Tensor | None
) -> WindowChunk:
    """Return a chunk.

    Args:
        rows: Range of the windows of the chunk.
        number: Number of the token in each slot, `(n * N, )`; 0 is padding.
        mask_index: Mask of each window of the index, `(B * K, )`, or None.
    """
    padding = (number == 0).nonzero().flatten()  # (padding of the chunk, )
    if mask_index is not None:
        mask_index = mask_index[rows]
        if (mask_index == mask_index[0]).all():
            mask_index = mask_index[:1]
    has_padding = len(padding) > 0
    return WindowChunk(
        rows,
        (number - 1).clamp(min=0),
        padding if has_padding else None,
        number.nonzero().flatten() if has_padding else None,  # (tokens, )
        mask_index,
    )


def gather_windows(
    tokens: Tensor,
    index: WindowIndex,
    window_tokens: int,
    filler: Tensor | None = None,
) -> Tensor:
    """Return the windows `(B * K, N, C)` of an index with one chunk.

    Args:
        tokens: Tokens `(B * H * W, C)`.
        index: Slots of the tokens.
        window_tokens: Tokens N of a window.
        filler: Token `(C, )` that padding consists of; zeros if None.
    """
    return _Gather.apply(tokens, filler, index, window_tokens)


def scatter_windows(windows: Tensor, index: WindowIndex) -> Tensor:
    """Return the tokens `(B * H * W, C)`, the inverse of `gather_windows`."""
    return _Scatter.apply(windows, index)


class _Gather(torch.autograd.Function):
    """Gather in both directions: every token has one slot, so none adds up."""

    @staticmethod
    def forward(
        ctx: Any,
        tokens: Tensor,
        filler: Tensor | None,
        index: WindowIndex,
        window_tokens: int,
    ) -> Tensor:
        ctx.index = index
        return index.chunks[0].gather(tokens, window_tokens, filler)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple:
        slots = grad.flatten(0, 1)  # (B * K * N, C)
        padding = ctx.index.chunks[0].padding
        grad_filler = None
        if ctx.needs_input_grad[1]:
            grad_filler = (
                slots.new_zeros(slots.shape[-1])
                if padding is None
                else slots.index_select(0, padding).sum(0)
            )
        return (
            slots.index_select(0, ctx.index.slot_of_token),
            grad_filler,
            None,
            None,
        )


class _Scatter(torch.autograd.Function):
    """Read tokens from windows by index; the backward pass gathers."""

    @staticmethod
    def forward(ctx: Any, windows: Tensor, index: WindowIndex) -> Tensor:
        ctx.index, ctx.window_tokens = index, windows.shape[1]
        slots = windows.flatten(0, 1)  # (B * K * N, C)
        return slots.index_select(0, index.slot_of_token)  # (B * H * W, C)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple:
        return ctx.index.chunks[0].gather(grad, ctx.window_tokens), None
