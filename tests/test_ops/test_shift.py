from itertools import product

import pytest
import torch

from swin_dense.ops import WindowLayout, cyclic_shift, window_mask

VALUE = -100.0


def make_mask(grid, window, shift, masked=False, **kwargs):
    layout = WindowLayout(grid, window, shift, 'roll', masked, VALUE)
    return window_mask(layout, **kwargs)


def of_windows(mask):
    """Return the mask of each window, `(K, N, N)`."""
    return mask.masks[mask.mask_index]


def test_shift_by_hand():
    x = torch.arange(5).view(1, 5, 1)
    assert cyclic_shift(x, (2,)).flatten().tolist() == [2, 3, 4, 0, 1]
    assert torch.equal(cyclic_shift(cyclic_shift(x, (2,)), (-2,)), x)


def test_no_shift_is_no_copy():
    x = torch.randn(1, 4, 4, 2)
    assert cyclic_shift(x, (0, 0)) is x


def test_mask_by_hand():
    # Five tokens in windows of four, padded to eight, shifted by two:
    # 2 3 4 . | . . 0 1, where 0 and 1 come from the opposite border.
    mask = of_windows(make_mask((5,), (4,), (2,)))
    assert (mask[0] == 0).all()
    is_wrapped = torch.tensor([0, 0, 1, 1])
    expected = (is_wrapped[:, None] != is_wrapped[None]) * VALUE
    assert torch.equal(mask[1], expected)


def test_masked_padding_by_hand():
    mask = of_windows(make_mask((5,), (4,), (2,), True))
    assert mask[0, :3].eq(0).all(0).tolist() == [True, True, True, False]
    assert mask[1, 2:].eq(0).all(0).tolist() == [False, False, True, True]


def test_no_mask_without_shift_or_padding():
    assert make_mask((8, 8), (4, 4), (0, 0), True) is None
    assert make_mask((7, 8), (4, 4), (0, 0)) is None
    assert make_mask((7, 8), (4, 4), (0, 0), True) is not None
    assert window_mask(WindowLayout((7, 8), (4, 4), (2, 2))) is None


@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize(
    'grid, window, shift',
    [
        ((9,), (4,), (2,)),
        ((7, 9), (4, 3), (2, 1)),
        ((8, 6), (4, 3), (0, 1)),
        ((3, 2), (4, 4), (2, 2)),
        ((3, 5, 4), (2, 4, 2), (1, 2, 1)),
    ],
)
def test_mask_equals_pairwise_rule(grid, window, shift, masked):
    mask = make_mask(grid, window, shift, masked)
    padded = [size + -size % w for size, w in zip(grid, window)]
    counts = [size // w for size, w in zip(padded, window)]
    mask = of_windows(mask)
    assert len(mask) == torch.Size(counts).numel()
    for index, place in enumerate(product(*map(range, counts))):
        members = []
        for inner in product(*map(range, window)):
            members.append(
                [
                    (p * w + i + s) % n
                    for p, w, i, s, n in zip(
                        place, window, inner, shift, padded
                    )
                ]
            )
        for q, query in enumerate(members):
            for k, key in enumerate(members):
                strangers = any(
                    (a < s) != (b < s) for a, b, s in zip(query, key, shift)
                )
                outside = any(b >= g for b, g in zip(key, grid))
                hidden_query = any(a >= g for a, g in zip(query, grid))
                if masked and hidden_query:
                    continue  # the result for padding is dropped
                expected = VALUE * (strangers or masked and outside)
                assert mask[index, q, k] == expected


def test_few_distinct_masks_on_a_large_map():
    mask = make_mask((200, 334), (7, 7), (3, 3))
    assert len(mask.masks) <= 4
    assert len(mask.mask_index) == 29 * 48


def test_masks_of_a_batch_and_type():
    first = make_mask((9, 8), (4, 4), (2, 2))
    mask = make_mask((9, 8), (4, 4), (2, 2), batch=3, dtype=torch.float64)
    assert mask.masks.dtype == torch.float64
    assert torch.equal(mask.mask_index, first.mask_index.repeat(3))
    assert torch.equal(
        mask.for_windows(slice(6, 12)), of_windows(first).double()
    )
    assert len(mask.for_windows()) == 18


def test_padding_that_shifts_is_hidden_on_request():
    # . . 0 1 | 2 3 4 . of five tokens, shifted by two.
    layout = WindowLayout((5,), (4,), (2,), 'pad', True, VALUE)
    mask = of_windows(window_mask(layout))
    assert mask[0, 2:].eq(0).all(0).tolist() == [False, False, True, True]
    assert mask[1, :3].eq(0).all(0).tolist() == [True, True, True, False]
    assert window_mask(layout._replace(mask_padding=False)) is None
