import pytest
import torch

from swin_dense.ops import (
    WindowLayout,
    cut_windows,
    cyclic_shift,
    join_windows,
    merge_windows,
    pad_to_multiple,
    partition_windows,
)

GRIDS = [((12,), (4,)), ((6, 8), (3, 4)), ((4, 6, 9), (2, 3, 3))]


def test_partition_by_hand():
    x = torch.arange(16).view(1, 4, 4, 1)
    windows = partition_windows(x, (2, 2))
    assert windows[:, :, 0].tolist() == [
        [0, 1, 4, 5],
        [2, 3, 6, 7],
        [8, 9, 12, 13],
        [10, 11, 14, 15],
    ]


@pytest.mark.parametrize('grid, window', GRIDS)
def test_merge_is_the_exact_inverse(grid, window):
    x = torch.randn(2, *grid, 5)
    windows = partition_windows(x, window)
    assert windows.shape[1] == torch.Size(window).numel()
    assert torch.equal(merge_windows(windows, window, grid), x)


LAYOUTS = [
    ((5, 6), (3, 4), (1, 2)),
    ((6, 8), (3, 4), (0, 0)),
    ((5,), (4,), (2,)),
    ((3, 5, 4), (2, 4, 4), (1, 2, 0)),
]


@pytest.mark.parametrize('grid, window, shift', LAYOUTS)
def test_cut_pads_rolls_and_partitions(grid, window, shift):
    x = torch.randn(2, *grid, 3)
    layout = WindowLayout(grid, window, shift)
    windows = cut_windows(x, layout)
    steps = cyclic_shift(pad_to_multiple(x, window), shift)
    assert torch.equal(windows, partition_windows(steps, window))
    assert len(windows) == 2 * layout.num_windows


@pytest.mark.parametrize('shifts_by', ['roll', 'pad'])
@pytest.mark.parametrize('grid, window, shift', LAYOUTS)
def test_join_undoes_cut(grid, window, shift, shifts_by):
    x = torch.randn(2, *grid, 3)
    layout = WindowLayout(grid, window, shift, shifts_by)
    filler = torch.tensor([7.0, 8, 9])
    windows = cut_windows(x, layout, filler)
    assert torch.equal(join_windows(windows, layout), x)
    padding = (windows == filler).all(-1).sum()
    assert padding == windows[..., 0].numel() - x[..., 0].numel()


def test_shift_by_padding_by_hand():
    x = torch.arange(1, 6).view(1, 5, 1)
    windows = cut_windows(x, WindowLayout((5,), (4,), (1,), 'pad'))
    assert windows.flatten(1).tolist() == [[0, 0, 0, 1], [2, 3, 4, 5]]
