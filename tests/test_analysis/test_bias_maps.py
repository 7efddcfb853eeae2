"""Position biases of a checkpoint, before and after its windows change."""

import numpy as np
import pytest
import torch

from helpers.window_files import TABLE, weights
from swin_dense.analysis.bias_maps import head_maps
from swin_dense.checkpoints.position import resize_bias_table
from swin_dense.checkpoints.resize import resize_checkpoint
from swin_dense.layers.log_position_bias import LogPositionBias


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
