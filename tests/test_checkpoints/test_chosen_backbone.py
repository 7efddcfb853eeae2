"""Flattened models of timm, and the choice among several backbones."""

import pytest
import torch

from helpers.placeholders import partly
from helpers.state_dicts import build, native
from swin_dense.backbones import SwinTransformer, SwinTransformerV2
from swin_dense.checkpoints.convert import convert_checkpoint
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.inspect_file import inspect_checkpoint
from swin_dense.checkpoints.layouts.export import export
from swin_dense.checkpoints.load import load_backbone
from swin_dense.checkpoints.resize import resize_checkpoint

V2 = dict(embed_dims=8, depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 4))


def flattened(weights):
    """The names that timm gives with features_only."""
    return {
        name.replace('layers.', 'layers_', 1): value
        for name, value in weights.items()
    }


@pytest.mark.parametrize('version', [1, 2])
def test_names_of_flattened_models(version):
    if version == 1:
        source, model = build(), build()
    else:
        source, model = SwinTransformerV2(V2), SwinTransformerV2(V2)
    for value in source.parameters():
        value.data.normal_()
    weights = {
        name: value
        for name, value in source.state_dict().items()
        if not name.startswith('norm')
    }
    file = flattened(export(weights, 'timm'))
    assert 'layers_1.downsample.reduction.weight' in file
    report = load_backbone(model, file)
    assert report.source_format == 'timm features_only backbone'
    assert all(name.startswith('norm') for name in report.missing)
    for name, value in weights.items():
        assert torch.equal(model.state_dict()[name], value), name


def test_a_flattened_model_of_timm():
    features = partly('timm.models._features').FeatureListNet
    swin = partly('timm.models.swin_transformer').SwinTransformer
    host = features(
        swin(img_size=128, embed_dim=24, window_size=4, depths=(1, 1, 2, 1)),
        out_indices=(0, 1, 2, 3),
        flatten_sequential=True,
    )
    model = SwinTransformer(embed_dims=24, window_size=4, depths=(1, 1, 2, 1))
    report = load_backbone(model, host.state_dict())
    assert report.source_format == 'timm features_only backbone'
    name = 'layers.2.downsample.reduction.weight'
    assert torch.equal(
        model.state_dict()[name],
        host.state_dict()[name.replace('layers.2', 'layers_3')],
    )
    host.eval()
    model.eval()
    # Outputs of timm have no norms.
    for index in range(4):
        setattr(model, f'norm{index}', torch.nn.Identity())
    image = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        for out, expected in zip(model(image), host(image)):
            expected = expected.permute(0, 3, 1, 2)  # (B, C, H, W)
            assert (out - expected).abs().max() < 1e-4


@pytest.fixture
def both(tmp_path):
    """A file with a student and its teacher, and both backbones."""
    members = dict(student=native(), teacher=native())
    weights = {
        f'{name}.backbone.{key}': value
        for name, member in members.items()
        for key, value in member.items()
    }
    path = tmp_path / 'both.pth'
    torch.save(dict(state_dict=weights), path)
    return path, members


@pytest.mark.parametrize('ending', ['.', ''])
@pytest.mark.parametrize('name', ['student', 'teacher'])
def test_prefix_chooses(both, name, ending):
    path, members = both
    settings = dict(embed_dims=8, depths=(2, 2, 6, 2), num_heads=(1, 2, 4, 8))
    prefix = f'{name}.backbone{ending}'
    model = SwinTransformer(
        **settings,
        init_cfg=dict(type='Pretrained', checkpoint=str(path), prefix=prefix),
    )
    model.init_weights()
    for key, value in members[name].items():
        assert torch.equal(model.state_dict()[key], value), key
    assert inspect_checkpoint(path, prefix)['family'] == 'v1'
    checkpoint = torch.load(path)
    converted = convert_checkpoint(checkpoint, 'official', prefix=prefix)
    key = 'layers.1.blocks.0.attn.qkv.weight'
    found = [v for k, v in converted.weights.items() if k.endswith(key)]
    assert any(torch.equal(value, members[name][key]) for value in found)
    resized = resize_checkpoint(checkpoint, [5], prefix=prefix)
    assert all(row.name.startswith(f'{name}.') for row in resized.rows)


def test_the_choices_are_named(both):
    path, _ = both
    message = (
        "their names start with 'student.backbone.', 'teacher.backbone.'. "
        "Name the one you want, in init_cfg as prefix='student.backbone.'"
    )
    with pytest.raises(CheckpointError) as error:
        load_backbone(build(), path)
    assert message in str(error.value)
    with pytest.raises(CheckpointError, match="Swin under 'neck.': it holds"):
        load_backbone(build(), path, prefix='neck.')
