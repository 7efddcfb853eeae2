import pytest
from torch import nn

from swin_dense.backbones.pyramid_config import (
    PyramidConfig,
    StageConfig,
    feed_forward,
)
from swin_dense.layers import PatchMerging


def make(**kwargs):
    settings = dict(
        patch_size=(4, 4),
        in_channels=3,
        embed_dims=8,
        stages=(StageConfig((), ()),) * 3,
        out_indices=(0, 2),
        norm=nn.LayerNorm,
        merging=PatchMerging,
    )
    return PyramidConfig(**{**settings, **kwargs})


@pytest.mark.parametrize('out_indices', [(2, 0), (0, 0), (3,), (-1,)])
def test_outputs_are_rising_stage_numbers(out_indices):
    with pytest.raises(ValueError, match='rising stage numbers below 3'):
        make(out_indices=out_indices)


@pytest.mark.parametrize(
    'frozen_stages, frozen_offset, is_valid',
    [(-2, 0, False), (3, 0, True), (4, 0, False), (2, 1, True), (3, 1, False)],
)
def test_frozen_stages_exist(frozen_stages, frozen_offset, is_valid):
    kwargs = dict(frozen_stages=frozen_stages, frozen_offset=frozen_offset)
    if is_valid:
        assert make(**kwargs).frozen_stages == frozen_stages
        return
    with pytest.raises(
        ValueError, match=f'between -1 and {3 - frozen_offset}'
    ):
        make(**kwargs)


def test_hidden_channels_of_the_network():
    network = feed_forward(6, mlp_ratio=2.5, drop=0.0, activation=nn.ReLU)
    assert network.fc1.out_features == 15
    assert type(network.act) is nn.ReLU
