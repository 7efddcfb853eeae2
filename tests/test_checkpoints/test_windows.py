"""The window of a bias table is found by its rows and by buffers."""

from math import prod

import pytest
import torch

from swin_dense.checkpoints.windows import (
    find_window,
    normalising_window,
    possible_windows,
)
from swin_dense.ops import relative_index


def rows(window):
    return prod(2 * size - 1 for size in window)


def test_possible_windows():
    assert possible_windows(15, 2) == ((1, 8), (2, 3), (3, 2), (8, 1))
    assert possible_windows(9, 3) == (
        (1, 1, 5),
        (1, 2, 2),
        (1, 5, 1),
        (2, 1, 2),
        (2, 2, 1),
        (5, 1, 1),
    )
    assert possible_windows(8, 2) == ()


@pytest.mark.parametrize(
    'window',
    [
        (7, 7),
        (8, 12),
        (12, 8),
        (1, 5),
        (8, 7, 7),
        (5, 7, 7),
        (2, 5, 9),
        (9, 5, 2),
        (1, 1),
    ],
)
@pytest.mark.parametrize('shape', ['square', 'flat'])
def test_index_is_decisive(window, shape):
    index = relative_index(window)
    index = index.flatten() if shape == 'flat' else index
    other = window[:-1] + (window[-1] + 1,)
    assert find_window(rows(window), len(window), index, other) == window


@pytest.mark.parametrize(
    'window',
    [(7, 7), (8, 7, 7), (16, 7, 7), (2, 7, 7), (1, 7, 7), (1, 1), (2, 1, 1)],
)
def test_equal_height_and_width_need_no_index(window):
    if window == (1, 7, 7):  # 169 = 1 * 169: one frame is the only choice
        assert possible_windows(169, 3).count(window) == 1
    assert find_window(rows(window), len(window)) == window


def test_index_without_sense_is_left_aside():
    assert find_window(169, 2, torch.zeros(49, 49)) == (7, 7)
    assert find_window(169, 2, torch.zeros(5, 5)) == (7, 7)


def test_the_expected_window_decides_between_several():
    assert find_window(345, 2, expected=(8, 12)) == (8, 12)
    assert find_window(345, 2, expected=(12, 8)) == (12, 8)
    assert find_window(1521, 3, expected=(5, 7, 7)) == (5, 7, 7)
    # The window with the expected number of frames.
    assert find_window(1521, 3, expected=(5, 12, 12)) == (5, 7, 7)
    # A square wins over an unlikely window of the model.
    assert find_window(169, 2, expected=(1, 85)) == (7, 7)


def test_an_ambiguous_window_is_an_error():
    with pytest.raises(ValueError) as error:
        find_window(345, 2, expected=(7, 7))
    assert str(error.value) == (
        'a bias table of 345 rows may be for a window of 1x173, 2x58, 3x35, '
        '8x12, 12x8, 35x3 and 2 more (in tokens), and the file does not say '
        'which: give source_window (--from-window on the command line)'
    )
    with pytest.raises(ValueError, match=r'5x7x7, 85x2x2 \(in tokens'):
        find_window(1521, 3)
    with pytest.raises(ValueError, match='344 rows fits no window of 2 axes'):
        find_window(344, 2)


def official_table(window, pretrained):
    """Return `relative_coords_table` by equation 4 of the V2 paper."""
    axes = [
        torch.arange(1.0 - size, size) / (unit - 1) * 8
        for size, unit in zip(window, pretrained)
    ]
    offsets = torch.stack(torch.meshgrid(*axes, indexing='ij'), -1)[None]
    return offsets.sign() * (offsets.abs() + 1).log2() / 3


@pytest.mark.parametrize('window', [(8, 8), (16, 16), (8, 12), (2, 24)])
@pytest.mark.parametrize(
    'pretrained', [(8, 8), (12, 12), (6, 6), (7, 16), (56, 64)]
)
def test_normalising_window(window, pretrained):
    table = official_table(window, pretrained)
    assert normalising_window(table) == pretrained
    if max(pretrained) <= 16:  # float16 is too coarse for larger ones
        assert normalising_window(table.half()) == pretrained


def test_normalising_window_of_one_token():
    assert normalising_window(torch.zeros(1, 1, 15, 2)) == (1, 1)
