from itertools import product

import pytest
import torch

from swin_dense.ops import cyclic_shift, window_mask
from swin_dense.ops.shift import EXCLUDED


def of_windows(mask):
    """The mask of each window, `(K, N, N)`."""
    return mask.masks[mask.kinds]


def test_shift_by_hand():
    x = torch.arange(5).view(1, 5, 1)
    assert cyclic_shift(x, (2, )).flatten().tolist() == [2, 3, 4, 0, 1]
    assert torch.equal(cyclic_shift(cyclic_shift(x, (2, )), (-2, )), x)


def test_no_shift_is_no_copy():
    x = torch.randn(1, 4, 4, 2)
    assert cyclic_shift(x, (0, 0)) is x


def test_mask_by_hand():
    # Five tokens in windows of four, padded to eight, shifted by two:
    # 2 3 4 . | . . 0 1, of which 0 and 1 came over the border.
    mask = of_windows(window_mask((5, ), (4, ), (2, ), torch.empty(1)))
    assert (mask[0] == 0).all()
    stranger = torch.tensor([0, 0, 1, 1])
    expected = (stranger[:, None] != stranger[None]) * EXCLUDED
    assert torch.equal(mask[1], expected)


def test_masked_padding_by_hand():
    mask = of_windows(window_mask((5, ), (4, ), (2, ), torch.empty(1), True))
    assert mask[0, :3].eq(0).all(0).tolist() == [True, True, True, False]
    assert mask[1, 2:].eq(0).all(0).tolist() == [False, False, True, True]


def test_no_mask_without_shift_or_padding():
    like = torch.empty(1)
    assert window_mask((8, 8), (4, 4), (0, 0), like, True) is None
    assert window_mask((7, 8), (4, 4), (0, 0), like) is None
    assert window_mask((7, 8), (4, 4), (0, 0), like, True) is not None


@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('grid, window, shift',
                         [((9, ), (4, ), (2, )), ((7, 9), (4, 3), (2, 1)),
                          ((8, 6), (4, 3), (0, 1)), ((3, 2), (4, 4), (2, 2)),
                          ((3, 5, 4), (2, 4, 2), (1, 2, 1))])
def test_mask_equals_pairwise_rule(grid, window, shift, masked):
    mask = window_mask(grid, window, shift, torch.empty(1), masked)
    padded = [size + -size % w for size, w in zip(grid, window)]
    counts = [size // w for size, w in zip(padded, window)]
    mask = of_windows(mask)
    assert len(mask) == torch.Size(counts).numel()
    for index, place in enumerate(product(*map(range, counts))):
        members = []
        for inner in product(*map(range, window)):
            members.append([
                (p * w + i + s) % n
                for p, w, i, s, n in zip(place, window, inner, shift, padded)
            ])
        for q, query in enumerate(members):
            for k, key in enumerate(members):
                strangers = any(
                    (a < s) != (b < s) for a, b, s in zip(query, key, shift))
                outside = any(b >= g for b, g in zip(key, grid))
                hidden_query = any(a >= g for a, g in zip(query, grid))
                if masked and hidden_query:
                    continue  # what padding sees does not matter
                expected = EXCLUDED * (strangers or masked and outside)
                assert mask[index, q, k] == expected


def test_few_distinct_masks_on_a_large_map():
    mask = window_mask((200, 334), (7, 7), (3, 3), torch.empty(1))
    assert len(mask.masks) <= 4
    assert len(mask.kinds) == 29 * 48


def test_mask_follows_the_type():
    like = torch.empty(1, dtype=torch.float64)
    assert window_mask((8, ), (4, ), (2, ), like).masks.dtype == like.dtype
