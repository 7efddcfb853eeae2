from itertools import product

import pytest

from swin_dense.ops import relative_index


def test_index_by_hand():
    assert relative_index((3,)).tolist() == [[2, 1, 0], [3, 2, 1], [4, 3, 2]]


@pytest.mark.parametrize(
    'window, table',
    [
        ((3,), None),
        ((2, 3), None),
        ((2, 2, 3), None),
        ((2, 3), (4, 5)),
        ((2, 1, 3), (2, 4, 4)),
    ],
)
def test_index_equals_offsets(window, table):
    index = relative_index(window, table)
    sizes = table or window
    tokens = list(product(*map(range, window)))
    assert index.shape == (len(tokens), len(tokens))
    for q, query in enumerate(tokens):
        for k, key in enumerate(tokens):
            row = 0
            for a, b, size in zip(query, key, sizes):
                row = row * (2 * size - 1) + a - b + size - 1
            assert index[q, k] == row


def test_full_window_uses_every_row():
    assert relative_index((7, 7)).unique().numel() == 169


def test_larger_window_than_the_table_is_refused():
    with pytest.raises(ValueError, match='resize the table first'):
        relative_index((8, 7), (7, 7))
