"""Arguments that only the configs of mmpretrain have."""

import pytest
import torch
from mmengine.registry import DefaultScope

from swin_dense.backbones import SwinTransformer, SwinTransformerV2


@pytest.mark.parametrize('cls', [SwinTransformer, SwinTransformerV2])
def test_who_is_asking(cls):
    """The defaults are those of the host whose config it is."""
    arch = dict(embed_dims=8, depths=[1] * 4, num_heads=[1] * 4)
    dense = cls(arch=arch)
    assert dense.out_indices == (0, 1, 2, 3)
    assert not any(stage.shift_together for stage in dense.layers)
    by_argument = cls(arch=arch, img_size=64)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        by_scope = cls(arch=arch)
    with DefaultScope.overwrite_default_scope('mmdet'):
        assert cls(arch=arch).out_indices == (0, 1, 2, 3)
    for model in (by_argument, by_scope):
        assert model.out_indices == (3,)
        assert all(
            stage.shrink and stage.shift_together and not stage.mask_padding
            for stage in model.layers
        )
        x = torch.randn(1, 3, 70, 60)
        model(x)[0].sum().backward()
        assert all(p.grad is not None for p in model.parameters())
    model = cls(arch=arch, img_size=64, out_indices=(0, 2))
    assert model.out_indices == (0, 2)


def test_settings_that_stage_cfgs_do_not_have():
    with pytest.raises(ValueError, match="stage_cfgs cannot set 'ffn_cfgs'"):
        SwinTransformer(stage_cfgs=dict(block_cfgs=dict(ffn_cfgs={})))
    with pytest.raises(ValueError, match='patch_cfg can only set norm_cfg'):
        SwinTransformer(patch_cfg=dict(stride=2))
