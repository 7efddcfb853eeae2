import pytest
import torch

from swin_dense.ops import (cyclic_shift, merge_windows, pad_to_multiple,
                            partition_windows, window_mask, window_slots)

GRIDS = [((12, ), (4, )), ((6, 8), (3, 4)), ((4, 6, 9), (2, 3, 3))]


def test_partition_by_hand():
    x = torch.arange(16).view(1, 4, 4, 1)
    windows = partition_windows(x, (2, 2))
    assert windows[:, :, 0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7],
                                         [8, 9, 12, 13], [10, 11, 14, 15]]


@pytest.mark.parametrize('grid, window', GRIDS)
def test_merge_is_the_exact_inverse(grid, window):
    x = torch.randn(2, *grid, 5)
    windows = partition_windows(x, window)
    assert windows.shape[1] == torch.Size(window).numel()
    assert torch.equal(merge_windows(windows, window, grid), x)


@pytest.mark.parametrize('grid, window, shift',
                         [((5, 6), (3, 4), (1, 2)), ((6, 8), (3, 4), (0, 0)),
                          ((5, ), (4, ), (2, )),
                          ((3, 5, 4), (2, 4, 4), (1, 2, 0))])
def test_slots_do_what_the_steps_do(grid, window, shift):
    x = torch.randn(2, *grid, 3)
    slots = window_slots((2, *grid), window, shift)
    tokens = x.flatten(0, -2)

    read = tokens[slots.tokens]
    if slots.padding is not None:
        read[slots.padding] = 0
    steps = cyclic_shift(pad_to_multiple(x, window), shift)
    assert torch.equal(read, partition_windows(steps, window)[slots.order])
    assert torch.equal(read.flatten(0, 1)[slots.places], tokens)
    assert (slots.padding is None) == (steps.shape == x.shape)


@pytest.mark.parametrize('mask_padding', [True, False])
def test_slots_bring_windows_with_the_same_mask_together(mask_padding):
    shape, window, shift = (2, 11, 14), (4, 4), (2, 2)
    mask = window_mask(shape[1:], window, shift, torch.zeros(1), mask_padding)
    slots = window_slots(shape, window, shift)
    sorted_mask = slots.sort(mask)
    assert slots.sort(None) is None
    kinds = sorted_mask.kinds
    assert torch.equal(kinds, mask.kinds.repeat(2)[slots.order])
    changes = (kinds[1:] != kinds[:-1]).sum()
    assert changes == len(mask.masks) - 1
    for rows in (slice(0, 1), slice(None)):
        read = sorted_mask.read(rows)
        assert len(read) == (1 if rows.stop else len(kinds))
        assert torch.equal(read, mask.masks[kinds[rows]])
