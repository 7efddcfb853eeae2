"""The config that weights imply."""

import pytest
import torch

from swin_dense.checkpoints.backbone_settings import (
    backbone_settings,
    empty_backbone,
    image_size,
)
from swin_dense.registry import MODELS
from swin_dense.sizes import SWIN, SWIN_V2

NAMES = dict(
    v1='SwinTransformer', v2='SwinTransformerV2', video='SwinTransformer3D'
)


@pytest.mark.parametrize(
    'family, arch',
    [
        *(('v1', arch) for arch in SWIN),
        *(('v2', arch) for arch in SWIN_V2),
        *(('video', arch) for arch in SWIN),
    ],
)
def test_named_sizes(family, arch):
    settings = dict(
        type=f'swin_dense.{NAMES[family]}',
        arch=arch,
        window_size=(8, 7, 7) if family == 'video' else 8,
    )
    native = empty_backbone(settings).state_dict()
    assert all(value.is_meta for value in native.values())
    window = (8, 7, 7) if family == 'video' else (8, 8)
    assert backbone_settings(native, window) == settings


@pytest.mark.parametrize(
    'settings',
    [
        dict(
            type='swin_dense.SwinTransformer',
            embed_dims=8,
            depths=(1, 1),
            num_heads=(2, 4),
            out_indices=(0, 1),
            window_size=(3, 5),
            patch_size=2,
            in_channels=4,
            mlp_ratio=2.0,
            qkv_bias=False,
            patch_norm=False,
            use_abs_pos_embed=True,
            pretrain_img_size=(32, 32),
        ),
        dict(
            type='swin_dense.SwinTransformerV2',
            arch=dict(
                embed_dims=8,
                depths=(1, 4),
                num_heads=(2, 4),
                extra_norm_every_n_blocks=2,
            ),
            out_indices=(0, 1),
            window_size=8,
            qkv_bias=False,
            patch_cfg=dict(norm_cfg=None),
            use_abs_pos_embed=True,
            img_size=(64, 64),
        ),
        dict(
            type='swin_dense.SwinTransformer3D',
            arch=dict(embed_dims=8, depths=(1, 1), num_heads=(2, 4)),
            out_indices=(1,),
            window_size=(2, 3, 3),
            patch_size=(4, 4, 4),
            patch_norm=False,
        ),
    ],
)
def test_other_settings(settings):
    native = MODELS.build(settings).state_dict()
    window = settings['window_size']
    window = (window, window) if isinstance(window, int) else window
    expected = dict(settings)
    if '3D' in settings['type']:
        expected['patch_size'] = 4
    assert backbone_settings(native, window) == expected


def test_size_of_the_official_dense_embedding():
    native = {
        'patch_embed.proj.weight': torch.empty(8, 3, 4, 4),
        'absolute_pos_embed': torch.empty(1, 8, 10, 12),
    }
    assert image_size(native) == (40, 48)


@pytest.mark.parametrize(
    'native',
    [
        {},
        {'patch_embed.proj.weight': torch.empty(8, 3, 4, 4)},
        {
            'patch_embed.proj.weight': torch.empty(8, 3, 4, 4),
            'layers.0.blocks.0.norm1.weight': torch.empty(8),
            'layers.0.blocks.0.attn.cpb_mlp.0.weight': torch.empty(512, 2),
        },
    ],
)
def test_weights_of_another_backbone(native):
    assert backbone_settings(native) == {}
