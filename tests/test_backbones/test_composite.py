"""The composite backbone equals the composition written by hand."""

import pytest
import torch

from helpers.models import randomize
from helpers.reference import assert_close
from helpers.swin_files import classifier_file, random_swin
from swin_dense.backbones import (
    CompositeBackbone,
    SwinTransformer,
    SwinTransformer3D,
    SwinTransformerV2,
)
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.load import load_model

V1 = dict(
    type='swin_dense.SwinTransformer',
    embed_dims=8,
    depths=(2, 1, 2, 1),
    num_heads=(1, 2, 2, 4),
    window_size=4,
    drop_path_rate=0.0,
)
WIDE = dict(V1, embed_dims=16)
V2 = dict(
    type='swin_dense.SwinTransformerV2',
    arch=dict(embed_dims=8, depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 4)),
    window_size=8,
    drop_path_rate=0.0,
)
CLIPS = dict(
    type='swin_dense.SwinTransformer3D',
    arch=V2['arch'],
    window_size=(2, 4, 4),
    out_indices=(0, 1, 2, 3),
    drop_path_rate=0.0,
)
PAIRS = dict(
    alike=(V1, V1),
    v1_helps_v2=(V1, V2),
    v2_helps_v1=(V2, V1),
    wide_helps_narrow=(WIDE, V1),
    narrow_helps_wide=(V1, WIDE),
    other_patches=(dict(V1, patch_size=2), V1),
)


def make_composite(assistant=V1, lead=V1, **changes):
    return randomize(
        CompositeBackbone([dict(assistant, **changes), dict(lead, **changes)])
    )


def by_hand(model, x):
    """Compute both pyramids by stages, one position of a map at a time."""
    assistant, lead = model.cb_modules

    def norm(backbone, index, tokens):
        return getattr(backbone, f'norm{index}')(tokens)

    tokens = first = assistant.pos_drop(assistant.patch_embed(x))
    levels = []
    for index, stage in enumerate(assistant.layers):
        out, tokens = stage(tokens)
        levels.append(norm(assistant, index, out))
    tokens = first
    if len(list(lead.patch_embed.parameters())):
        tokens = lead.patch_embed(x)
    outputs = []
    for index, stage in enumerate(lead.layers):
        added = torch.zeros_like(tokens)
        for level in range(index, 4):
            source = levels[level]
            linear = model.cb_linears[index][level - index]
            for row in range(tokens.shape[1]):
                for column in range(tokens.shape[2]):
                    nearest = source[
                        :,
                        row * source.shape[1] // tokens.shape[1],
                        column * source.shape[2] // tokens.shape[2],
                    ]
                    if isinstance(linear, torch.nn.Conv2d):
                        nearest = nearest @ linear.weight[:, :, 0, 0].T
                        nearest = nearest + linear.bias
                    added[:, row, column] += nearest
        out, tokens = stage(tokens + added)
        outputs.append(norm(lead, index, out))
    return [
        [out.permute(0, 3, 1, 2) for out in maps] for maps in (levels, outputs)
    ]


@torch.no_grad()
@pytest.mark.parametrize('pair', PAIRS)
@pytest.mark.parametrize('size', [(37, 50)])
def test_composition_by_hand(pair, size):
    model = make_composite(*PAIRS[pair]).eval()
    x = torch.randn(2, 3, *size)
    for result, expected in zip(model.forward_both(x), by_hand(model, x)):
        assert len(result) == len(expected) == 4
        for first, second in zip(result, expected):
            assert_close(first, second, 1e-5)
    for first, second in zip(model(x), result):
        assert torch.equal(first, second)


@torch.no_grad()
@pytest.mark.parametrize('size', [(1, 1), (4, 4), (5, 31), (64, 100)])
def test_outputs_are_as_declared(size):
    model = make_composite(V1, dict(V1, out_indices=(1, 3))).eval()
    assert model.channels == (16, 64)
    assert model.strides == (8, 32)
    for outputs in model.forward_both(torch.randn(2, 3, *size)):
        for out, channels, stride in zip(outputs, (16, 64), (8, 32)):
            grid = [-(-s // stride) for s in size]
            assert out.shape == (2, channels, *grid)
            assert out.is_contiguous()


@torch.no_grad()
def test_clips():
    model = make_composite(CLIPS, CLIPS).eval()
    outputs = model(torch.randn(1, 3, 4, 32, 40))
    assert [tuple(out.shape[1:]) for out in outputs] == [
        (8, 2, 8, 10),
        (16, 2, 4, 5),
        (32, 2, 2, 3),
        (64, 2, 1, 2),
    ]
    assert isinstance(model.cb_linears[0][1], torch.nn.Conv3d)


@pytest.mark.parametrize('arch', ['tiny', 'small', 'base', 'large'])
def test_parameter_count(arch):
    """Two backbones, one embedding, and the convolutions with a bias."""
    with torch.device('meta'):
        first = SwinTransformer(arch)
        model = CompositeBackbone(
            [dict(type='swin_dense.SwinTransformer', arch=arch)] * 2
        )

    def count(module):
        return sum(p.numel() for p in module.parameters())

    dims = [first.channels[0] * 2**i for i in range(4)]
    convolutions = sum(
        dims[j] * dims[i] + dims[i] for i in range(4) for j in range(i + 1, 4)
    )
    assert count(model) == (
        2 * count(first) - count(first.patch_embed) + convolutions
    )


def test_official_names():
    with torch.device('meta'):
        model = CompositeBackbone(
            [dict(type='swin_dense.SwinTransformer', arch='tiny')] * 2
        )
        first = SwinTransformer('tiny')
    names = {f'cb_modules.0.{name}' for name in first.state_dict()}
    names |= {
        f'cb_modules.1.{name}'
        for name in first.state_dict()
        if not name.startswith('patch_embed')
    }
    names |= {
        f'cb_linears.{i}.{k}.{kind}'
        for i in range(4)
        for k in range(1, 4 - i)
        for kind in ('weight', 'bias')
    }
    assert set(model.state_dict()) == names


def test_files_of_the_official_code_load():
    """Official checkpoints hold buffers that this package recomputes."""
    source, model = make_composite(), make_composite()
    weights = dict(source.state_dict())
    for module in ('0', '1'):
        weights[
            f'cb_modules.{module}.layers.0.blocks.0.attn.'
            'relative_position_index'
        ] = torch.zeros(16, 16).long()
    report = load_model(model, dict(state_dict=weights))
    assert len(report.loaded) == len(source.state_dict())
    for first, second in zip(model.parameters(), source.parameters()):
        assert torch.equal(first, second)


def test_wide_start():
    """At first only the map of the same level is added."""
    model = CompositeBackbone([V1, V1])
    model.init_weights()
    levels = [torch.randn(1, 8 * 2**i, 8 // 2**i, 8 // 2**i) for i in range(4)]
    for index, level in enumerate(levels):
        x = torch.zeros(level.shape).permute(0, 2, 3, 1)
        assert torch.equal(
            model._assistant_features(index, levels, x),
            level.permute(0, 2, 3, 1),
        )


def test_clips_start_from_weights_for_images(tmp_path):
    """The lead is inflated too, although it has no patch embedding."""
    backbone = random_swin(window=4, **SMALL)
    path = tmp_path / 'swin.pth'
    torch.save(classifier_file(backbone), path)
    model = CompositeBackbone(
        [dict(CLIPS, arch=SMALL)] * 2,
        init_cfg=dict(type='Pretrained', checkpoint=str(path)),
    )
    model.init_weights()
    name = 'layers.0.blocks.0.attn.relative_position_bias_table'
    table = backbone.state_dict()[name]
    for module in model.cb_modules:
        assert torch.equal(module.state_dict()[name], table.repeat(3, 1))
    assert 'patch_embed.proj.weight' not in model.cb_modules[1].state_dict()


SMALL = dict(embed_dims=16, depths=(1, 1, 2, 1), num_heads=(1, 2, 4, 8))


@pytest.fixture
def file(tmp_path):
    """A classifier's checkpoint as the official code writes it."""
    backbone = random_swin(window=4, **SMALL)
    path = tmp_path / 'swin.pth'
    torch.save(classifier_file(backbone), path)
    return backbone, path


def pretrained(path, *changes, **settings):
    swin = dict(
        type='swin_dense.SwinTransformer', window_size=4, **SMALL, **settings
    )
    return CompositeBackbone(
        [dict(swin, **change) for change in changes],
        init_cfg=dict(type='Pretrained', checkpoint=str(path)),
    )


def test_one_file_for_both(file, logged):
    backbone, path = file
    model = pretrained(path, {}, {})
    model.init_weights()
    trained = backbone.state_dict()
    for module in model.cb_modules:
        for name, value in module.state_dict().items():
            if not name.startswith('norm'):  # fresh after a classifier
                assert torch.equal(value, trained[name]), name
    assert logged.text.count(str(path)) == 2  # a report for each
    assert 'patch_embed.proj.weight' in model.cb_modules[0].state_dict()


def test_one_file_for_other_windows(file, logged):
    _, path = file
    model = pretrained(path, {}, dict(window_size=8))
    model.init_weights()
    table = 'layers.0.blocks.0.attn.relative_position_bias_table'
    shapes = [
        module.state_dict()[table].shape[0] for module in model.cb_modules
    ]
    assert shapes == [49, 225]


def test_each_backbone_has_its_weights(file, tmp_path):
    _, path = file
    other = random_swin(window=4, **SMALL)
    second = tmp_path / 'other.pth'
    torch.save(classifier_file(other), second)
    model = pretrained(
        path,
        {},
        dict(init_cfg=dict(type='Pretrained', checkpoint=str(second))),
    )
    model.init_weights()
    name = 'layers.0.blocks.0.mlp.fc1.weight'
    assert torch.equal(
        model.cb_modules[1].state_dict()[name], other.state_dict()[name]
    )
    assert not torch.equal(
        model.cb_modules[0].state_dict()[name], other.state_dict()[name]
    )


def test_file_of_another_size(file):
    _, path = file
    model = pretrained(path, {}, {}, qkv_bias=False)
    with pytest.raises(CheckpointError, match='qkv.bias'):
        model.init_weights()
    lead = pretrained(path, {}, dict(embed_dims=32))
    with pytest.raises(CheckpointError, match='embed_dims 32'):
        lead.init_weights()


def test_every_parameter_gets_a_gradient_from_the_lead_alone():
    model = make_composite()
    sum(
        out.square().sum() for out in model(torch.randn(2, 3, 60, 70))
    ).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_checkpointing_changes_nothing():
    plain, saving = make_composite(), make_composite(with_cp=True)
    saving.load_state_dict(plain.state_dict())
    x = torch.randn(1, 3, 50, 66)
    for model in (plain, saving):
        model.train()
        sum(
            out.sum() for maps in model.forward_both(x) for out in maps
        ).backward()
    for first, second in zip(plain.parameters(), saving.parameters()):
        assert torch.equal(first.grad, second.grad)


def test_freezing():
    model = make_composite(
        dict(V1, frozen_stages=2), dict(V1, frozen_stages=1)
    ).train()
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert {
        name.rsplit('.blocks')[0].rsplit('.', 1)[0]
        for name in frozen
        if 'layers' not in name
    } == {
        'cb_modules.0.patch_embed.proj',
        'cb_modules.0.patch_embed.norm',
        'cb_modules.0.norm0',
        'cb_modules.0.norm1',
        'cb_modules.1.norm0',
    }
    assert not model.cb_modules[0].layers[1].training
    assert not model.cb_modules[1].layers[0].training
    assert model.cb_modules[1].layers[1].training


def test_drop_path_and_dropout_in_training_only():
    model = make_composite(drop_path_rate=0.5, drop_rate=0.1)
    x = torch.randn(2, 3, 64, 64)
    assert not torch.equal(model(x)[-1], model(x)[-1])
    model.eval()
    assert torch.equal(model(x)[-1], model(x)[-1])


def test_position_embedding_comes_with_the_tokens():
    model = make_composite(use_abs_pos_embed=True, pretrain_img_size=32)
    names = [name for name in model.state_dict() if 'absolute' in name]
    assert names == ['cb_modules.0.absolute_pos_embed']
    apart = make_composite(
        WIDE, V1, use_abs_pos_embed=True, pretrain_img_size=32
    )
    assert sum('absolute' in name for name in apart.state_dict()) == 2


def test_classes():
    assert isinstance(make_composite(V2, V2).cb_modules[1], SwinTransformerV2)
    assert isinstance(
        make_composite(CLIPS, CLIPS).cb_modules[0], SwinTransformer3D
    )


def test_v2_of_two_windows_that_the_caller_gives():
    model_with_window = dict(V2, pretrained_window_sizes=[8] * 4)
    make_composite(model_with_window, dict(model_with_window, window_size=16))


@pytest.mark.parametrize(
    'backbones, message',
    [
        ([V1], 'an assistant and a lead, got 1'),
        ([V1] * 3, 'got 3'),
        ([V1, CLIPS], 'both be for images'),
        (
            [
                V1,
                dict(V1, depths=(1, 1), num_heads=(1, 1), out_indices=(0, 1)),
            ],
            'as many stages, got 4 and 2',
        ),
        ([V2, dict(V2, window_size=16)], 'pretrained_window_sizes in both'),
        ([V1, dict(type='mmdet.ResNet', depth=18)], 'of this package'),
    ],
)
def test_pairs_that_do_not_fit(backbones, message):
    if backbones[-1]['type'].startswith('mmdet'):
        pytest.importorskip('mmdet', reason='the other backbone is of mmdet')
    with pytest.raises(ValueError, match=message):
        CompositeBackbone(backbones)
