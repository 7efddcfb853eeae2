"""What is found out about each member of the family."""

import pytest
import torch

from helpers.window_files import weights
from swin_dense.checkpoints.backbone_settings import (
    backbone_settings,
    empty_backbone,
    image_size,
)
from swin_dense.checkpoints.inspect_file import inspect_checkpoint
from swin_dense.checkpoints.layouts.export import export
from swin_dense.registry import MODELS
from swin_dense.sizes import SWIN, SWIN_V2

NAMES = dict(
    v1='SwinTransformer', v2='SwinTransformerV2', video='SwinTransformer3D'
)
WINDOWS = dict(v1=5, v2=8, video=(4, 3, 3))


def shapes(model):
    return {name: value.shape for name, value in model.state_dict().items()}


@pytest.mark.parametrize('family', NAMES)
def test_members_of_the_family(tmp_path, family):
    path = tmp_path / 'a.pth'
    content = weights(family, window_size=WINDOWS[family])
    torch.save(content, path)
    info = inspect_checkpoint(path)
    assert info['family'] == family
    window = WINDOWS[family]
    expected = [window] * 2 if isinstance(window, int) else list(window)
    assert info['window'] == expected
    assert info['window_from'] == {'v2': 'coordinates that it holds'}.get(
        family, 'bias tables'
    )
    settings = info['backbone']
    assert settings['type'] == f'swin_dense.{NAMES[family]}'
    assert settings['window_size'] == window
    assert ('pretrained_window_sizes' in settings) is (family == 'v2')
    model = MODELS.build(settings)
    own = {n: v for n, v in shapes(model).items() if n in content}
    assert own == {n: content[n].shape for n in own}
    assert set(shapes(model)) - set(own) == set()


@pytest.mark.parametrize(
    'name, window',
    [
        ('swinv2_base_patch4_window12to16_192to256_22kto1k_ft', [16, 16]),
        ('swinv2_tiny_patch4_window8_256', [8, 8]),
        ('swinv2-tiny-w16_3rdparty_in1k-256px_20220803-9651cdd7', [16, 16]),
        ('model', None),
    ],
)
def test_window_of_v2_from_the_name(tmp_path, name, window):
    path = tmp_path / f'{name}.pth'
    torch.save(weights('v2', buffers=False), path)
    info = inspect_checkpoint(path)
    assert info['window'] == window
    if window:
        assert info['window_from'] == 'a guess from the file name'
        assert info['resolution'] == [256, 256]


def test_window_of_v2_from_the_official_config(tmp_path):
    path = tmp_path / 'swinv2_window8.pth'
    config = dict(
        DATA=dict(IMG_SIZE=192),
        MODEL=dict(TYPE='swinv2', SWINV2=dict(WINDOW_SIZE=12)),
    )
    torch.save(dict(model=weights('v2', buffers=False), config=config), path)
    info = inspect_checkpoint(path)
    assert (info['window'], info['window_from']) == ([12, 12], 'its config')
    assert info['resolution'] == [192, 192]


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
            'layers.0.blocks.0.spatial_mlp.weight': torch.empty(8, 8, 1),
        },
    ],
)
def test_no_backbone_of_ours(native):
    assert backbone_settings(native) == {}


def test_renamed_files_are_described_alike(tmp_path):
    native = {
        name: value
        for name, value in weights('v2', buffers=False).items()
        if not name.startswith('norm')  # which Hugging Face has no place for
    }
    found = []
    for target in ('official', 'mmpretrain', 'huggingface'):
        path = tmp_path / f'{target}.pth'
        torch.save(export(native, target), path)
        found.append(inspect_checkpoint(path))
    for key in ('arch', 'family', 'backbone', 'backbone_parameters'):
        assert found[0][key] == found[1][key] == found[2][key]
