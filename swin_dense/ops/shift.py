"""Masks that hide tokens of a shifted window from each other."""

from typing import NamedTuple

import torch
from torch import Tensor

from swin_dense.ops.size_cache import is_exported, is_traced
from swin_dense.ops.windows import WindowLayout

# Finite, as in the official code: a query whose keys are all hidden gets their
# average instead of NaN. The official value fails to hide a key whose logit is
# some 80 above the others. The hard value always hides, and float16 can hold
# it.
OFFICIAL_MASK_VALUE = -100.0
HARD_MASK_VALUE = -1e4


class WindowMask(NamedTuple):
    """Additive masks of the windows of a batch of maps.

    Only windows at the borders have masks of their own, so a map of any size
    has a handful of distinct masks.

    Attributes:
        masks: Distinct masks `(M, N, N)`: 0 where a query (row) sees a key
            (column).
        mask_index: Index into `masks` for each window, `(B * K, )`.
    """

    masks: Tensor
    mask_index: Tensor

    def for_windows(self, rows: slice | None = None) -> Tensor:
        """Return the masks `(n, N, N)` of the windows `rows`, or of all."""
        index = self.mask_index if rows is None else self.mask_index[rows]
        return self.masks.index_select(0, index)


def _axis_labels(layout: WindowLayout, axis: int) -> tuple[Tensor, Tensor]:
    """Label the tokens of the windows along one axis.

    Returns:
        The distinct rows of labels `(M, window)`, and for each window the
        index of its row `(padded / window, )`. Tokens with different labels
        must not see each other. Padding has the label -1 if it is masked.
    """
    size, window = layout.grid[axis], layout.window[axis]
    shift, before = layout.shift[axis], layout.before[axis]
    padded = layout.padded[axis]
    position = torch.arange(padded) - before
    labels = torch.zeros_like(position)
    if layout.shifts_by == 'roll':
        labels = (position < shift).long()
    if layout.mask_padding:
        inside = (position >= 0) & (position < size)
        labels = torch.where(inside, labels, -1)
    if layout.shifts_by == 'roll':
        labels = labels.roll(-shift)
    labels = labels.view(padded // window, window)  # (windows, window)
    if is_traced():  # the number of distinct rows depends on values
        return labels, torch.arange(padded // window)
    return labels.unique(dim=0, return_inverse=True)


def window_mask(
    layout: WindowLayout, batch: int = 1, dtype: torch.dtype = torch.float32
) -> WindowMask | None:
    """Return the masks for the windows of padded and shifted maps.

    After a cyclic shift the windows at the far border hold tokens from
    opposite sides of the map, which must not see each other (Swin V1 paper,
    section 3.2).

    Args:
        layout: Position of the windows, and whether padding is hidden.
        batch: Number of maps B.
        dtype: Type of the masks.

    Returns:
        The masks, or None if every token sees its whole window.
    """
    if layout.mask_shift is not None:
        layout = layout._replace(shift=layout.mask_shift)
    rolls = layout.shifts_by == 'roll' and any(layout.shift)
    # While compiling, sizes that are symbols are not asked.
    is_compiled = torch.compiler.is_compiling() and not is_exported()
    hides_padding = layout.mask_padding and (
        is_compiled or layout.padded != layout.grid
    )
    if layout.mask_value is None or not (rolls or hides_padding):
        return None
    visible = torch.ones(1, 1, 1, dtype=torch.bool)
    mask_index = torch.zeros(1, dtype=torch.long)
    for axis, window in enumerate(layout.window):
        labels, index = _axis_labels(layout, axis)
        same = labels[:, :, None] == labels[:, None, :]  # (M, window, window)
        same = same & (labels >= 0)[:, None, :]
        # Combine each mask of the axes so far with each mask of this axis.
        masks, tokens = len(visible) * len(labels), visible.shape[-1] * window
        visible = (
            visible[:, None, :, None, :, None]
            & same[None, :, None, :, None, :]
        )  # (M before, M, N before, window, N before, window)
        visible = visible.reshape(masks, tokens, tokens)  # (M, N, N)
        mask_index = mask_index[:, None] * len(labels) + index
        mask_index = mask_index.flatten()  # (K, )
    return WindowMask(
        (~visible).to(dtype) * layout.mask_value, mask_index.repeat(batch)
    )
