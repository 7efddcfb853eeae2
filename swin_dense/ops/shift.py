"""Cyclic shift, and which tokens of a shifted window may see each other."""
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from swin_dense.ops.blocks import prefers_blocks
from swin_dense.ops.cache import cached_by_size
from swin_dense.ops.grid import Grid

# Finite, as in the official code: a token all of whose keys are excluded
# gets an average instead of NaN. The official number hides a key unless its
# logit is some 80 above the others'; the other always does, and is a number
# in float16 too.
EXCLUDED = -100.
HIDDEN = -1e4


class WindowMask(NamedTuple):
    """Additive masks of the windows of one map.

    Only windows at the far borders differ from one another, so a map of any
    size has a handful of distinct masks and each window points to its own.

    Attributes:
        masks: Distinct masks `(M, N, N)`, 0 where a query, the row, sees a
            key.
        kinds: Index of the mask of each window, `(K, )`.
    """
    masks: Tensor
    kinds: Tensor

    def read(self, rows: slice) -> Tensor:
        """Masks `(n, N, N)` of some windows, `(1, N, N)` if they share it."""
        kinds = self.kinds[rows]
        # Without blocks windows are many and differ, and looking costs time.
        if prefers_blocks(kinds) and (kinds == kinds[0]).all():
            kinds = kinds[:1]
        return self.masks[kinds]


def cyclic_shift(x: Tensor, shift: Grid) -> Tensor:
    """Roll a map `(B, *grid, C)` so that `shift` becomes its origin.

    Negative shifts roll it back.
    """
    if not any(shift):
        return x
    axes = tuple(range(1, len(shift) + 1))
    return x.roll(tuple(-s for s in shift), axes)


def _axis_kinds(size: int, window: int, shift: int,
                mask_padding: bool) -> tuple[Tensor, Tensor]:
    """Distinct windows along one axis and which of them each window is.

    Returns:
        Labels `(M, window)`, where tokens with different labels must not see
        each other and padding has -1 if it is to be masked; and the kind of
        each window `(size_padded / window, )`.
    """
    position = torch.arange(size + -size % window)
    wrapped = (position < shift).long()
    if mask_padding:
        wrapped[position >= size] = -1
    labels = wrapped.roll(-shift).view(-1, window)
    kinds, index = labels.unique(dim=0, return_inverse=True)
    return kinds, index


@cached_by_size(64)
def _window_mask(grid: Grid, window: Grid, shift: Grid,
                 mask_padding: bool) -> Optional[WindowMask]:
    """The cached part of `window_mask`: what is hidden, on the CPU."""
    visible = torch.ones(1, 1, 1, dtype=torch.bool)
    kinds = torch.zeros(1, dtype=torch.long)
    for size, w, s in zip(grid, window, shift):
        labels, index = _axis_kinds(size, w, s, mask_padding)
        same = (labels[:, :, None] == labels[:, None, :])
        same &= (labels >= 0)[:, None, :]
        # The masks and windows so far, each combined with those of this axis.
        tokens = visible.shape[-1] * w
        visible = (
            visible[:, None, :, None, :, None]
            & same[None, :, None, :, None, :])
        visible = visible.reshape(-1, tokens, tokens)
        kinds = (kinds[:, None] * len(labels) + index).flatten()
    if visible.all():
        return None
    return WindowMask(~visible, kinds)


def window_mask(grid: Grid,
                window: Grid,
                shift: Grid,
                like: Tensor,
                mask_padding: bool = False,
                excluded: float = EXCLUDED) -> Optional[WindowMask]:
    """Masks for the windows of a padded and shifted map.

    After a cyclic shift the windows at the far border hold tokens from
    opposite sides of the map, which must not see each other (Swin V1 paper,
    section 3.2).

    Args:
        grid: Size of the map before padding, in tokens per axis.
        window: Window per axis.
        shift: Shift per axis, below the window.
        like: Tensor whose device and type the masks get.
        mask_padding: If true no token sees padding. If false padding is a
            token like others, as in the official dense code.
        excluded: What hides a key, when it is added to its logit.

    Returns:
        The masks, or None where every token sees its whole window.
    """
    mask = _window_mask(grid, window, shift, mask_padding)
    if mask is None:
        return None
    hidden = mask.masks.to(like.device)
    return WindowMask(
        hidden.to(like.dtype) * excluded, mask.kinds.to(like.device))
