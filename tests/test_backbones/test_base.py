"""The pyramid that all backbones share."""

import pytest
import torch

from helpers.models import NARROW, make
from swin_dense.backbones import SwinTransformer, SwinTransformerV2


def test_drop_path_rises_linearly():
    model = make(SwinTransformer, drop_path_rate=0.5)
    rates = [
        block.drop_path.rate
        for stage in model.layers
        for block in stage.blocks
    ]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])


def test_initialisation_of_mmengine():
    """It replaces the official initialisation of the named layers only."""
    torch.manual_seed(0)
    official = SwinTransformer(**NARROW)
    larger = SwinTransformer(
        **NARROW,
        init_cfg=dict(type='Xavier', layer='Linear', distribution='normal'),
    )
    for model in (official, larger):
        model.init_weights()
    deviations = [
        model.layers[0].blocks[0].mlp.fc1.weight.std().item()
        for model in (official, larger)
    ]
    assert deviations == [
        pytest.approx(0.02, rel=0.15),
        pytest.approx((2 / (8 + 32)) ** 0.5, rel=0.1),
    ]
    table = larger.layers[0].blocks[0].attn.relative_position_bias_table
    assert table.std().item() == pytest.approx(0.02, rel=0.15)


def test_initialisations_of_mmengine_in_a_list():
    model = SwinTransformer(
        **NARROW,
        init_cfg=[
            dict(type='Constant', layer='LayerNorm', val=3.0),
            dict(type='Constant', layer='Linear', val=0.5),
        ],
    )
    model.init_weights()
    block = model.layers[0].blocks[0]
    assert block.norm1.weight.eq(3).all()
    assert block.attn.qkv.weight.eq(0.5).all()
    assert block.attn.relative_position_bias_table.std() > 0


@pytest.mark.parametrize('cls', [SwinTransformer, SwinTransformerV2])
def test_learning_rates_by_depth(cls):
    arch = dict(embed_dims=8, depths=[1, 2, 1, 1], num_heads=[1] * 4)
    model = cls(arch=arch)
    depths = {
        name: model.get_layer_depth(f'backbone.{name}', 'backbone.')
        for name, _ in model.named_parameters()
    }
    assert depths['patch_embed.proj.weight'] == (0, 7)
    assert depths['layers.0.blocks.0.attn.qkv.weight'] == (1, 7)
    assert depths['layers.1.blocks.1.attn.qkv.weight'] == (3, 7)
    assert depths['layers.1.downsample.reduction.weight'] == (3, 7)
    assert depths['layers.3.blocks.0.norm1.bias'] == (5, 7)
    assert depths['norm3.weight'] == (6, 7)
    assert model.get_layer_depth('head.fc.weight', 'backbone.') == (6, 7)
