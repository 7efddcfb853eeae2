"""Indices of windows do what padding, shift and partition do."""

import pytest
import torch

from swin_dense.kernels.window_index import (
    gather_windows,
    make_window_index,
    scatter_windows,
)
from swin_dense.ops import WindowLayout, cut_windows, window_mask

LAYOUTS = [
    ((5, 6), (3, 4), (1, 2)),
    ((6, 8), (3, 4), (0, 0)),
    ((5,), (4,), (2,)),
    ((3, 5, 4), (2, 4, 4), (1, 2, 0)),
]


def window_order(layout, batch):
    """Place of each window of the index in row-major order."""
    mask = window_mask(
        layout._replace(mask_padding=True, mask_value=0.0), batch
    )
    if mask is None:
        return torch.arange(batch * layout.num_windows)
    return mask.mask_index.argsort(stable=True)


@pytest.mark.parametrize('shifts_by', ['roll', 'pad'])
@pytest.mark.parametrize('count', [1, 3])
@pytest.mark.parametrize('grid, window, shift', LAYOUTS)
def test_chunks_do_what_the_steps_do(grid, window, shift, count, shifts_by):
    x, filler = torch.randn(2, *grid, 3), torch.tensor([7.0, 8, 9])
    layout = WindowLayout(grid, window, shift, shifts_by)
    index = make_window_index(layout, 2, count)
    tokens, size = x.flatten(0, -2), torch.Size(window).numel()
    for padding in (None, filler):
        read = torch.cat(
            [chunk.gather(tokens, size, padding) for chunk in index.chunks]
        )
        expected = cut_windows(x, layout, padding)[window_order(layout, 2)]
        assert torch.equal(read, expected)
    assert torch.equal(read.flatten(0, 1)[index.slot_of_token], tokens)
    assert len(index.chunks) == count


@pytest.mark.parametrize('mask_padding', [True, False])
def test_windows_with_the_same_mask_come_together(mask_padding):
    layout = WindowLayout((11, 14), (4, 4), (2, 2), 'roll', mask_padding, -9.0)
    mask = window_mask(layout, 2)
    masks = mask.for_windows()[window_order(layout, 2)]
    index = make_window_index(layout, 2, 12)
    read = [chunk.mask(mask) for chunk in index.chunks]
    assert 1 in {len(part) for part in read}  # some chunks share a mask
    for chunk, part in zip(index.chunks, read):
        assert torch.equal(
            part.expand(len(masks[chunk.rows]), -1, -1), masks[chunk.rows]
        )
    changes = (masks[1:] != masks[:-1]).flatten(1).any(1).sum()
    assert changes == len(mask.masks) - 1


@pytest.mark.parametrize('grid, window, shift', LAYOUTS)
def test_gradients(grid, window, shift):
    index = make_window_index(WindowLayout(grid, window, shift), 2)
    size, tokens = torch.Size(window).numel(), 2 * torch.Size(grid).numel()
    x = torch.randn(tokens, 2, dtype=torch.float64, requires_grad=True)
    filler = torch.randn(2, dtype=torch.float64, requires_grad=True)
    windows = torch.randn(
        len(
            cut_windows(
                torch.zeros(2, *grid, 1), WindowLayout(grid, window, shift)
            )
        ),
        size,
        2,
        dtype=torch.float64,
    )
    windows.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, filler: gather_windows(x, index, size, filler), (x, filler)
    )
    assert torch.autograd.gradcheck(
        lambda w: scatter_windows(w, index), windows
    )
