from functools import partial

import pytest
import torch
from mmengine.registry import MODELS

from helpers.models import NARROW, randomize
from helpers.models import make as make_backbone
from helpers.reference import assert_close
from swin_dense import kernels
from swin_dense.backbones import SwinTransformer
from swin_dense.checkpoints import load_model

make = partial(make_backbone, SwinTransformer)


@pytest.mark.parametrize(
    'size', [(1, 1), (4, 4), (5, 31), (33, 64), (64, 100)]
)
def test_outputs_are_as_declared(size):
    model = make(out_indices=(0, 2, 3)).eval()
    outputs = model(torch.randn(2, 3, *size))
    assert model.channels == (8, 32, 64)
    assert model.strides == (4, 16, 32)
    for out, channels, stride in zip(outputs, model.channels, model.strides):
        assert out.shape == (2, channels, *(-(-s // stride) for s in size))
        assert out.is_contiguous()


@pytest.mark.parametrize(
    'arch, params',
    [
        ('tiny', 27_520_698),
        ('small', 48_838_602),
        ('base', 86_745_016),
        ('L', 194_998_164),
    ],
)
def test_parameter_count(arch, params):
    # The published classifiers (28288354, 49606258, 87768224, 196532476),
    # less the head of 1000 classes, plus the output norms of stages 0 to 2.
    with torch.device('meta'):
        model = SwinTransformer(arch)
    assert sum(p.numel() for p in model.parameters()) == params


def test_every_parameter_gets_a_gradient():
    model = make(use_abs_pos_embed=True, pretrain_img_size=32)
    sum(
        out.square().sum() for out in model(torch.randn(2, 3, 60, 70))
    ).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_state_has_parameters_only_and_official_names():
    model = make(use_abs_pos_embed=True)
    names = set(model.state_dict())
    assert names == {name for name, _ in model.named_parameters()}
    assert {
        'absolute_pos_embed',
        'patch_embed.proj.weight',
        'patch_embed.norm.bias',
        'layers.0.blocks.1.attn.relative_position_bias_table',
        'layers.0.blocks.1.attn.qkv.weight',
        'layers.2.blocks.0.attn.proj.bias',
        'layers.1.blocks.0.mlp.fc1.weight',
        'layers.3.blocks.0.mlp.fc2.bias',
        'layers.0.downsample.norm.weight',
        'layers.0.downsample.reduction.weight',
        'norm0.weight',
        'norm3.bias',
    } <= names
    assert 'layers.3.downsample.reduction.weight' not in names


@pytest.mark.parametrize('training', [False, True])
def test_checkpointing_changes_nothing(training):
    plain, saving = (
        make(drop_path_rate=0.0),
        make(drop_path_rate=0.0, with_cp=True),
    )
    saving.load_state_dict(plain.state_dict())
    x = torch.randn(1, 3, 50, 66)
    for model in (plain, saving):
        model.train(training)
        sum(out.sum() for out in model(x)).backward()
    for first, second in zip(plain.parameters(), saving.parameters()):
        assert torch.equal(first.grad, second.grad)


def test_checkpointing_with_drop_path_repeats_its_choice():
    model = make(drop_path_rate=0.5, with_cp=True).double()
    x = torch.randn(4, 3, 40, 40, dtype=torch.float64)
    grads = []
    for with_cp in (True, False):
        torch.manual_seed(3)
        for stage in model.layers:
            stage.with_cp = with_cp
        model.zero_grad()
        sum(out.sum() for out in model(x)).backward()
        grads.append([p.grad for p in model.parameters()])
    for first, second in zip(*grads):
        assert_close(first, second, 1e-10)


def test_evaluation_is_deterministic_training_is_not():
    model = make(drop_path_rate=0.5)
    x = torch.randn(2, 3, 64, 64)
    assert not torch.equal(model(x)[-1], model(x)[-1])
    model.eval()
    assert torch.equal(model(x)[-1], model(x)[-1])


@pytest.mark.parametrize('stages', [-1, 0, 2, 4])
def test_freezing(stages):
    model = make(
        frozen_stages=stages,
        drop_rate=0.1,
        drop_path_rate=0.3,
        use_abs_pos_embed=True,
    )
    model.train()
    frozen = {
        name
        for name, parameter in model.named_parameters()
        if not parameter.requires_grad
    }
    expected = set()
    if stages >= 0:
        expected |= {'patch_embed.', 'absolute_pos_embed'}
    for index in range(max(stages, 0)):
        expected |= {f'layers.{index}.', f'norm{index}.'}
    assert frozen == {
        name
        for name, _ in model.named_parameters()
        if name.startswith(tuple(expected))
    }
    for index, stage in enumerate(model.layers):
        assert all(m.training == (index >= stages) for m in stage.modules())
    before = {name: p.clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad]
        or [torch.zeros(1, requires_grad=True)],
        0.1,
    )
    out = sum(o.square().mean() for o in model(torch.randn(2, 3, 64, 64)))
    if out.requires_grad:
        out.backward()
    optimizer.step()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) == (name in frozen), name


@pytest.mark.skipif(
    'cpu' not in kernels.available(), reason='no kernels for a CPU'
)
def test_kernels_for_a_cpu_equal_the_plain_ones():
    model = randomize(SwinTransformer('tiny')).eval()
    x = torch.randn(1, 3, 100, 165)
    with torch.no_grad():
        with kernels.use('cpu'):
            chunked = model(x)
        with kernels.use('plain'):
            plain = model(x)
    for first, second in zip(chunked, plain):
        assert_close(first, second, 2e-6 * second.abs().max())


def test_masked_padding_is_not_seen():
    masked, plain = (make(mask_padding=m).eval() for m in (True, False))
    plain.load_state_dict(masked.state_dict())
    aligned = torch.randn(1, 3, 224, 224)
    assert_close(masked(aligned)[0], plain(aligned)[0], 1e-6)
    x = torch.randn(1, 3, 100, 100)
    assert (masked(x)[0] - plain(x)[0]).abs().max() > 1e-2


def test_absolute_embedding_is_interpolated():
    model = make(use_abs_pos_embed=True, pretrain_img_size=(32, 48)).eval()
    embedding = model.absolute_pos_embed.view(1, 8, 12, 8)
    assert torch.equal(model._position_embedding((8, 12)), embedding)
    expected = torch.nn.functional.interpolate(
        embedding.permute(0, 3, 1, 2), size=(10, 9), mode='bicubic'
    )
    assert torch.equal(
        model._position_embedding((10, 9)), expected.permute(0, 2, 3, 1)
    )


def test_initialisation():
    model = SwinTransformer(**NARROW, use_abs_pos_embed=True)
    model.init_weights()
    attention = model.layers[2].blocks[1].attn
    for weight in (
        attention.qkv.weight,
        model.absolute_pos_embed,
        attention.relative_position_bias_table,
    ):
        assert weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert attention.qkv.bias.eq(0).all()
    assert model.norm2.weight.eq(1).all()


def test_found_by_scope_without_custom_imports():
    model = MODELS.build(dict(type='swin_dense.SwinTransformer', **NARROW))
    assert type(model) is SwinTransformer


def test_drops_into_a_host_config_by_type_alone():
    mmdet = pytest.importorskip('mmdet.utils')
    from mmdet.registry import MODELS as HOST

    mmdet.register_all_modules()
    config = dict(
        type='RetinaNet',
        backbone=dict(
            type='SwinTransformer',
            **NARROW,
            mlp_ratio=4,
            window_size=7,
            qkv_bias=True,
            qk_scale=None,
            drop_rate=0.0,
            attn_drop_rate=0.0,
            drop_path_rate=0.0,
            patch_norm=True,
            out_indices=(1, 2, 3),
            with_cp=False,
            convert_weights=True,
            init_cfg=None,
        ),
        neck=dict(
            type='FPN',
            in_channels=[16, 32, 64],
            out_channels=8,
            num_outs=5,
            start_level=0,
            add_extra_convs='on_input',
        ),
        bbox_head=dict(
            type='RetinaHead', num_classes=3, in_channels=8, feat_channels=8
        ),
    )
    reference = randomize(HOST.build(config)).eval()
    config['backbone']['type'] = 'swin_dense.SwinTransformer'
    model = HOST.build(config).eval()
    assert type(model.backbone) is SwinTransformer
    load_model(model, reference.state_dict())
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        for actual, expected in zip(model(x)[0], reference(x)[0]):
            torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_sizes_as_a_dictionary_changed_by_arguments():
    model = SwinTransformer(NARROW, depths=(1, 1, 1, 2))
    assert [len(stage.blocks) for stage in model.layers] == [1, 1, 1, 2]
    assert model.channels == (8, 16, 32, 64)


@pytest.mark.parametrize(
    'kwargs, error, message',
    [
        (dict(window=7), TypeError, "Did you mean 'window_size'"),
        (dict(qwerty=7), TypeError, "no argument 'qwerty'. It takes: arch"),
        (
            dict(arch='huge'),
            ValueError,
            "tiny, small, base, large, or a dict.*got 'huge'",
        ),
        (dict(depths=(2, 2)), ValueError, 'one number for each stage'),
        (dict(out_indices=(0, 4)), ValueError, 'stage numbers below 4'),
        (dict(out_indices=(3, 0)), ValueError, 'rising stage numbers'),
        (dict(frozen_stages=5), ValueError, 'between -1 and 4'),
        (dict(strides=(4, 2, 2, 1)), ValueError, r'\(4, 2, 2, 2\)'),
        (dict(window_size=0), ValueError, 'window_size must be a positive'),
        (dict(drop_path_rate=1.0), ValueError, 'drop-path rate'),
        (dict(act_cfg=dict(type='Gelu')), ValueError, 'act_cfg must name'),
        (dict(norm_cfg=dict(kind='LN')), ValueError, 'norm_cfg must name'),
        (dict(init_cfg=dict(type='Normal')), ValueError, "type='Pretrained'"),
        (
            dict(init_cfg=[dict(type='Normal', layer='Linear'), 3]),
            ValueError,
            'list of these, got .*Normal.*, 3',
        ),
        (
            dict(init_cfg=[dict(type='Pretrained', checkpoint='a')] * 2),
            ValueError,
            'init_cfg can load one checkpoint, got 2',
        ),
        (
            dict(pretrained=3),
            TypeError,
            'pretrained must be a file or address',
        ),
        (
            dict(
                pretrained='a',
                init_cfg=dict(type='Pretrained', checkpoint='a'),
            ),
            ValueError,
            'not both',
        ),
    ],
)
def test_bad_arguments(kwargs, error, message):
    with pytest.raises(error, match=message):
        SwinTransformer(**{**NARROW, **kwargs})
