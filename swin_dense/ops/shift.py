"""Which tokens of a shifted window may see each other."""

from typing import NamedTuple

import torch
from torch import Tensor

from swin_dense.ops.size_cache import is_traced
from swin_dense.ops.windows import WindowLayout

# Finite, as in the official code: a token all of whose keys are hidden gets
# an average instead of NaN. The official number hides a key unless its logit
# is some 80 above the others'; the hard one always does, and is a number in
# float16 too.
OFFICIAL_MASK_VALUE = -100.0
HARD_MASK_VALUE = -1e4


class WindowMask(NamedTuple):
    """Additive masks of the windows of a batch of maps.

    Only windows at the borders differ from one another, so a map of any size
    has a handful of distinct masks and each window points to its own.

    Attributes:
        masks: Distinct masks `(M, N, N)`, 0 where a query, the row, sees a
            key.
        mask_index: Mask of each window, `(B * K, )`.
    """

    masks: Tensor
    mask_index: Tensor

    def for_windows(self, rows: slice | None = None) -> Tensor:
        """Return the masks `(n, N, N)` of some windows, or of all."""
        index = self.mask_index if rows is None else self.mask_index[rows]
        return self.masks.index_select(0, index)


def _axis_labels(layout: WindowLayout, axis: int) -> tuple[Tensor, Tensor]:
    """Return the distinct windows along one axis, and which each window is.

    Returns:
        Labels `(M, window)`, where tokens with different labels must not see
        each other and padding has -1 if it is to be masked; and the index of
        each window `(padded / window, )`.
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
    labels = labels.view(padded // window, window)
    if is_traced():  # how many are distinct depends on values
        return labels, torch.arange(padded // window)
    return labels.unique(dim=0, return_inverse=True)


def window_mask(
    layout: WindowLayout, batch: int = 1, dtype: torch.dtype = torch.float32
) -> WindowMask | None:
    """Make the masks for the windows of padded and shifted maps.

    After a cyclic shift the windows at the far border hold tokens from
    opposite sides of the map, which must not see each other (Swin V1 paper,
    section 3.2).

    Args:
        layout: How the windows lie, and what is hidden.
        batch: Number of maps B.
        dtype: Type of the masks.

    Returns:
        The masks, or None where every token sees its whole window.
    """
    rolls = layout.shifts_by == 'roll' and any(layout.shift)
    hides_padding = layout.mask_padding and layout.padded != layout.grid
    if layout.mask_value is None or not (rolls or hides_padding):
        return None
    visible = torch.ones(1, 1, 1, dtype=torch.bool)
    mask_index = torch.zeros(1, dtype=torch.long)
    for axis, window in enumerate(layout.window):
        labels, index = _axis_labels(layout, axis)
        same = labels[:, :, None] == labels[:, None, :]  # (M, window, window)
        same = same & (labels >= 0)[:, None, :]
        # The masks and windows so far, each combined with those of this axis.
        masks, tokens = len(visible) * len(labels), visible.shape[-1] * window
        visible = (
            visible[:, None, :, None, :, None]
            & same[None, :, None, :, None, :]
        )
        visible = visible.reshape(masks, tokens, tokens)  # (M, N, N)
        mask_index = mask_index[:, None] * len(labels) + index  # (K, axis)
        mask_index = mask_index.flatten()
    return WindowMask(
        (~visible).to(dtype) * layout.mask_value, mask_index.repeat(batch)
    )
