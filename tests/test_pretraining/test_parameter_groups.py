"""Weight decay of pretraining, as published and as intended."""

import pytest
from torch import nn

from swin_dense.pretraining.encoder import SwinEncoder, SwinV2Encoder
from swin_dense.pretraining.parameter_groups import PretrainingConstructor

OPTIMIZER = dict(optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.05))
SIZES = dict(embed_dims=8, depths=[2, 1], num_heads=[1, 2])


class Model(nn.Module):
    """An encoder with a mask token and a decoder, some of it frozen."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        encoder.mask_token = nn.Parameter(
            encoder.norm.weight.new_zeros(1, 1, 8)
        )
        self.decoder = nn.Sequential(nn.Conv2d(16, 4, 1))
        self.frozen = nn.Linear(2, 2).requires_grad_(False)


def decayed(encoder, decays_position_bias):
    """Return the names of parameters with weight decay, and all others."""
    model = Model(encoder)
    build = PretrainingConstructor(
        OPTIMIZER, dict(decays_position_bias=decays_position_bias)
    )
    groups = build(model).optimizer.param_groups
    assert [group['weight_decay'] for group in groups] == [0.05, 0.0]
    names = {id(p): name for name, p in model.named_parameters()}
    with_decay, without = (
        {names[id(parameter)] for parameter in group['params']}
        for group in groups
    )
    assert not with_decay & without
    assert len(with_decay | without) == len(names) - 2
    return with_decay, without


@pytest.mark.parametrize('published', [True, False])
def test_groups_of_v1(published):
    encoder = SwinEncoder(
        img_size=16, window_size=2, use_abs_pos_embed=True, **SIZES
    )
    with_decay, without = decayed(encoder, published)
    tables = {f'layers.0.blocks.{i}.attn' for i in range(2)} | {
        'layers.1.blocks.0.attn'
    }
    tables = {f'encoder.{t}.relative_position_bias_table' for t in tables}
    assert tables <= (with_decay if published else without)
    matrices = {name for name in with_decay if name not in tables}
    assert all(name.endswith('.weight') for name in matrices)
    assert not any('norm' in name for name in matrices)
    assert (
        len(matrices) == 3 * 4 + 1 + 1 + 1
    )  # blocks, merging, patch, decoder
    assert {
        'encoder.mask_token',
        'encoder.absolute_pos_embed',
        'encoder.norm.weight',
        'decoder.0.bias',
    } <= without


@pytest.mark.parametrize('published', [True, False])
def test_groups_of_v2(published):
    encoder = SwinV2Encoder(arch=SIZES, img_size=16, window_size=2)
    with_decay, without = decayed(encoder, published)
    block = 'encoder.layers.0.blocks.0.attn'
    slip = {
        f'{block}.logit_scale',
        f'{block}.cpb_mlp.0.weight',
        f'{block}.cpb_mlp.2.weight',
    }
    assert slip <= (with_decay if published else without)
    assert {f'{block}.cpb_mlp.0.bias', f'{block}.q_bias'} <= without
    assert f'{block}.qkv.weight' in with_decay


@pytest.mark.parametrize(
    'settings', [None, {}, dict(decays_position_bias=1), dict(lr_mult=1)]
)
def test_the_setting_is_needed(settings):
    with pytest.raises(
        ValueError, match=r'needs paramwise_cfg=dict\(decays_position_bias='
    ):
        PretrainingConstructor(OPTIMIZER, settings)
