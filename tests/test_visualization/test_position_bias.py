"""Maps of position biases show both windows in one scale."""

import numpy as np
import pytest
import torch

from helpers.window_files import TABLE, weights
from swin_dense.analysis.bias_maps import head_maps
from swin_dense.checkpoints.position import resize_bias_table
from swin_dense.checkpoints.resize import resize_checkpoint
from swin_dense.layers.log_position_bias import LogPositionBias
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


def test_default_heads_are_the_most_uneven():
    file = weights('v1', window_size=3)
    name = f'layers.2.blocks.0.attn.{TABLE}'
    file[name][:, 1] *= 100
    maps = head_maps(resize_checkpoint(file, [4]))
    assert [head.title.split('\n')[0] for head in maps] == [
        f'layers.{i}.blocks.0' for i in range(4)
    ]
    assert maps[2].title == 'layers.2.blocks.0\nhead 1 of 0-1'
    np.testing.assert_array_equal(
        maps[2].before, file[name][:, 1].view(5, 5).numpy()
    )
    np.testing.assert_array_equal(
        maps[2].after,
        resize_bias_table(file[name], 3, 4)[:, 1].view(7, 7).numpy(),
    )


def test_chosen_heads():
    file = weights('v1', window_size=3)
    resized = resize_checkpoint(file, [2, 4], method='geometric')
    (head,) = head_maps(resized, ['3.1.2'])
    assert head.title == 'layers.3.blocks.1\nhead 2 of 0-3'
    table = resized.checkpoint[f'layers.3.blocks.1.attn.{TABLE}']
    np.testing.assert_array_equal(head.after, table[:, 2].view(3, 7).numpy())


@pytest.mark.parametrize(
    'text, message',
    [
        ('3.1', 'STAGE.BLOCK.HEAD'),
        ('3.2.0', 'no block 3.2 (the last is 3.1)'),
        (
            '3.1.4',
            'no head 4 in layers.3.blocks.1.attn, whose heads are 0 to 3',
        ),
    ],
)
def test_heads_that_do_not_exist(text, message):
    resized = resize_checkpoint(weights('v1', window_size=3), [4])
    with pytest.raises(ValueError) as error:
        head_maps(resized, [text])
    assert message in str(error.value)


def test_clips_are_shown_at_the_same_time():
    file = weights('video', window_size=(2, 3, 3))
    (head,) = head_maps(resize_checkpoint(file, [4, 3, 3]), ['0.0.0'])
    table = file[f'layers.0.blocks.0.attn.{TABLE}']
    np.testing.assert_array_equal(
        head.before, table.view(3, 5, 5, 1)[1, ..., 0].numpy()
    )


def test_v2_is_evaluated():
    file = weights('v2', window_size=4)
    (head,) = head_maps(resize_checkpoint(file, [6]), ['0.1.0'])
    network = LogPositionBias((4, 4), 1, (4, 4))
    network.load_state_dict(
        {
            name.split('cpb_mlp.')[1]: value
            for name, value in file.items()
            if 'layers.0.blocks.1.attn.cpb' in name
        }
    )
    with torch.no_grad():
        for values, window in ((head.before, 4), (head.after, 6)):
            expected = network((window, window)).view(2 * window - 1, -1)
            np.testing.assert_array_equal(values, expected.numpy())
    # Offsets of both windows keep their bias; new offsets are added.
    np.testing.assert_allclose(
        head.after[2:-2, 2:-2], head.before, rtol=0, atol=1e-5
    )
