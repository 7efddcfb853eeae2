import pytest
import torch

from swin_dense.ops import crop, fit_window, pad_to_multiple, to_tuple


@pytest.mark.parametrize(
    'value, rank, expected',
    [(7, 1, (7,)), (7, 2, (7, 7)), ([8, 7, 7], 3, (8, 7, 7))],
)
def test_to_tuple(value, rank, expected):
    assert to_tuple(value, rank) == expected


@pytest.mark.parametrize('value', [0, -1, (7, 7, 7), (7, 0), (7.0, 7)])
def test_to_tuple_refuses(value):
    with pytest.raises(ValueError, match='window_size must be a positive'):
        to_tuple(value, 2, 'window_size')


@pytest.mark.parametrize(
    'grid, multiple, padded',
    [
        ((5,), (4,), (8,)),
        ((5, 8), (4, 4), (8, 8)),
        ((3, 7, 9), (2, 7, 4), (4, 7, 12)),
    ],
)
def test_pad_and_crop_are_exact(grid, multiple, padded):
    x = torch.randn(2, *grid, 3)
    y = pad_to_multiple(x, multiple)
    assert y.shape == (2, *padded, 3)
    assert torch.equal(crop(y, grid), x)
    assert y.sum() == pytest.approx(x.sum().item(), abs=1e-4)
    assert y.count_nonzero() == x.count_nonzero()


def test_pad_leaves_whole_windows_alone():
    x = torch.randn(1, 8, 12, 3)
    assert pad_to_multiple(x, (4, 4)) is x


@pytest.mark.parametrize(
    'shrink, expected',
    [
        (False, ((7, 7), (3, 3))),
        (True, ((5, 7), (0, 3))),
    ],
)
def test_fit_window(shrink, expected):
    assert fit_window((5, 9), (7, 7), (3, 3), shrink) == expected


def test_fit_window_drops_the_shift_when_one_window_is_the_map():
    assert fit_window((7, 8), (7, 7), (3, 3), True) == ((7, 7), (0, 3))
