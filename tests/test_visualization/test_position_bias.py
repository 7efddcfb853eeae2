"""Maps of position biases show both windows in one scale."""

import numpy as np
import pytest

from swin_dense.visualization.position_bias import BiasMap, draw_position_bias

RED, BLUE = (31, 0, 103), (97, 48, 5)  # ends of the colour scale, BGR


def flat(value, before=7, after=12):
    """Return a head with the same bias for all offsets."""
    return BiasMap(
        'head',
        np.full((2 * before - 1,) * 2, value),
        np.full((2 * after - 1,) * 2, value),
    )


def count(picture, colour):
    return (np.abs(picture.astype(int) - colour).max(axis=2) < 4).sum()


def test_colours_are_centred_on_zero():
    positive = draw_position_bias([flat(2.0)])
    negative = draw_position_bias([flat(-2.0)])
    assert positive.dtype == np.uint8 and positive.ndim == 3
    for picture, more, less in ((positive, RED, BLUE), (negative, BLUE, RED)):
        # Compare both maps with a few pixels of the scale beside them.
        assert count(picture, more) > 50 * max(count(picture, less), 1)


def test_maps_of_a_head_share_one_scale():
    head = BiasMap('head', np.full((13, 13), 1.0), np.full((23, 23), 2.0))
    reds = count(draw_position_bias([head]), RED)
    both = count(draw_position_bias([flat(1.0)]), RED)
    assert 0.4 < reds / both < 0.6  # only the second map is full red


def test_a_column_for_each_head():
    single, four = (draw_position_bias([flat(1.0)] * n) for n in (1, 4))
    assert single.shape[0] == four.shape[0]
    assert 3 < four.shape[1] / single.shape[1] < 4
    # A long title hides nothing.
    draw_position_bias([flat(0.0)], 'a long name ' * 20, ('b' * 30, 'a' * 30))


@pytest.mark.parametrize(
    'maps, message',
    [
        ([], 'give at least one head'),
        ([BiasMap('x', np.zeros((13, 12)), np.zeros((3, 3)))], 'odd number'),
        ([BiasMap('x', np.zeros((3, 3)), np.zeros(9))], "(9,) for 'x'"),
    ],
)
def test_bad_maps_are_refused(maps, message):
    with pytest.raises(ValueError) as error:
        draw_position_bias(maps)
    assert message in str(error.value)
