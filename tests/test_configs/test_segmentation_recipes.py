"""The ADE20K recipes build, train and are the published ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS, init_default_scope

from swin_dense.engine.launch import load_config

pytest.importorskip('mmseg', reason='the recipes are of mmseg models')

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
STORAGE = 'https://github.com/SwinTransformer/storage/releases/download/'

# Config: architecture, channels, crop, weights.
V1 = {
    'upernet_swin_t_ade20k': (
        'tiny',
        96,
        512,
        'v1.0.0/swin_tiny_patch4_window7_224',
    ),
    'upernet_swin_s_ade20k': (
        'small',
        96,
        512,
        'v1.0.0/swin_small_patch4_window7_224',
    ),
    'upernet_swin_b_ade20k': (
        'base',
        128,
        512,
        'v1.0.0/swin_base_patch4_window7_224',
    ),
    'upernet_swin_b_ade20k_22k_640': (
        'base',
        128,
        640,
        'v1.0.0/swin_base_patch4_window7_224_22k',
    ),
    'upernet_swin_l_ade20k_22k_640': (
        'large',
        192,
        640,
        'v1.0.0/swin_large_patch4_window7_224_22k',
    ),
}
V2 = {
    'upernet_swinv2_t_ade20k': (
        'tiny',
        96,
        512,
        'v2.0.0/swinv2_tiny_patch4_window8_256',
    ),
    'upernet_swinv2_s_ade20k': (
        'small',
        96,
        512,
        'v2.0.0/swinv2_small_patch4_window8_256',
    ),
    'upernet_swinv2_b_ade20k': (
        'base',
        128,
        512,
        'v2.0.0/swinv2_base_patch4_window8_256',
    ),
    'upernet_swinv2_b_ade20k_22k_640': (
        'base',
        128,
        640,
        'v2.0.0/swinv2_base_patch4_window12_192_22k',
    ),
    'upernet_swinv2_l_ade20k_22k_640': (
        'large',
        192,
        640,
        'v2.0.0/swinv2_large_patch4_window12_192_22k',
    ),
}
ADE20K = {**V1, **V2}
# The V2 recipes at 640 are of 40k iterations at batch 64.
SHORT = [name for name in V2 if name.endswith('640')]


# These have tests of their training step alone.
OTHERS = (
    'upernet_mini_swin_t_ade20k',
    'upernet_swin_mlp_t_ade20k',
    'upernet_swin_moe_s_ade20k',
)


@pytest.fixture(params=ADE20K)
def recipe(request):
    return request.param, load_config(CONFIGS / f'{request.param}.py')


def small(config):
    """A config's model, built with a backbone and heads of few channels."""
    init_default_scope('mmseg')
    model = config.model
    sizes = dict(embed_dims=8, depths=(1, 2, 1, 1), num_heads=(1, 1, 1, 1))
    if model.backbone.type.endswith('MoE'):
        model.backbone.update(arch=dict(sizes, depths=(1, 1, 2, 2)))
    elif model.backbone.type.endswith(('V2', 'MLP')):
        model.backbone.update(arch=sizes)
    elif model.backbone.type.endswith('MiniSwin'):
        model.backbone.update(arch=dict(sizes, blocks=(1, 1, 1, 1)))
    else:
        model.backbone.update(sizes)
    model.backbone.init_cfg = None
    model.decode_head.update(in_channels=[8, 16, 32, 64], channels=8)
    model.auxiliary_head.update(in_channels=32, channels=8)
    model.data_preprocessor.size = (64, 64)
    # What the runner does where one process trains alone.
    return revert_sync_batchnorm(MODELS.build(model))


def test_all_recipes_are_there():
    leaves = {path.stem for path in CONFIGS.glob('upernet_*_ade20k*.py')}
    assert leaves == {*ADE20K, *OTHERS}


def test_quick_start():
    path = CONFIGS / 'upernet_swin_nano_shapes.py'
    config = load_config(path)
    train, val = (
        dict(loader.dataset)
        for loader in (config.train_dataloader, config.val_dataloader)
    )
    # The splits show the same classes, in images of the same kind.
    assert dict(train['generate'], num_images=100) == val['generate']
    shapes = val['generate'].get('classes', ('circle', 'square', 'triangle'))
    model = config.model
    for head in (model.decode_head, model.auxiliary_head):
        assert head.num_classes == len(shapes) + 1
    for dataset in (train, val):
        (resize,) = (s for s in dataset['pipeline'] if s.type == 'Resize')
        assert resize.scale == model.data_preprocessor.size
    assert config.param_scheduler[-1].end == config.train_cfg.max_iters
    # One process or two: no norm may depend on the share of a batch.
    init_default_scope('mmseg')
    parts = MODELS.build(model).named_modules()
    assert not [name for name, part in parts if 'BatchNorm' in str(type(part))]


def test_backbone(recipe):
    name, config = recipe
    arch, _, crop, weights = ADE20K[name]
    backbone = config.model.backbone
    assert backbone.init_cfg == dict(
        type='Pretrained', checkpoint=f'{STORAGE}{weights}.pth'
    )
    expected = dict(
        arch=arch,
        window_size=7,
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.3,
        type='swin_dense.SwinTransformer',
    )
    if name in V2:
        expected.update(
            type='swin_dense.SwinTransformerV2',
            window_size=40 if crop == 640 else 16,
            pretrained_window_sizes=[12, 12, 12, 6] if crop == 640 else 8,
        )
    assert {key: backbone[key] for key in backbone} == {
        **expected,
        'init_cfg': backbone.init_cfg,
    }


def test_heads(recipe):
    name, config = recipe
    channels = ADE20K[name][1]
    common = dict(
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        align_corners=False,
    )
    loss = dict(type='CrossEntropyLoss', use_sigmoid=False)
    model = config.model
    assert model.type == 'EncoderDecoder'
    assert model.decode_head == dict(
        common,
        type='UPerHead',
        in_channels=[channels * scale for scale in (1, 2, 4, 8)],
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=512,
        loss_decode=dict(loss, loss_weight=1.0),
    )
    assert model.auxiliary_head == dict(
        common,
        type='FCNHead',
        in_channels=channels * 4,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        loss_decode=dict(loss, loss_weight=0.4),
    )
    assert model.test_cfg == dict(mode='whole')


def test_data(recipe):
    name, config = recipe
    crop = ADE20K[name][2]
    train = config.train_dataloader.dataset.pipeline
    assert [step.type for step in train] == [
        'LoadImageFromFile',
        'LoadAnnotations',
        'RandomResize',
        'RandomCrop',
        'RandomFlip',
        'PhotoMetricDistortion',
        'PackSegInputs',
    ]
    assert train[2] == dict(
        type='RandomResize',
        scale=(crop * 4, crop),
        ratio_range=(0.5, 2.0),
        keep_ratio=True,
    )
    assert train[3] == dict(
        type='RandomCrop', crop_size=(crop, crop), cat_max_ratio=0.75
    )
    assert train[4].prob == 0.5
    for loader in (config.val_dataloader, config.test_dataloader):
        assert [step.type for step in loader.dataset.pipeline] == [
            'LoadImageFromFile',
            'Resize',
            'LoadAnnotations',
            'PackSegInputs',
        ]
        assert loader.dataset.pipeline[1] == dict(
            type='Resize', scale=(crop * 4, crop), keep_ratio=True
        )
        assert loader.dataset.data_prefix == dict(
            img_path='images/validation', seg_map_path='annotations/validation'
        )
        assert loader.batch_size == 1
    assert config.train_dataloader.dataset.data_prefix == dict(
        img_path='images/training', seg_map_path='annotations/training'
    )
    assert config.train_dataloader.batch_size == (4 if name in SHORT else 2)
    assert config.data_root == 'data/ade/ADEChallengeData2016/'
    preprocessor = config.model.data_preprocessor
    assert preprocessor.size == (crop, crop)
    assert preprocessor.mean == [123.675, 116.28, 103.53]
    assert preprocessor.std == [58.395, 57.12, 57.375]
    assert preprocessor.bgr_to_rgb and preprocessor.seg_pad_val == 255
    assert config.test_evaluator.iou_metrics == ['mIoU']


def test_runtime(recipe):
    name, config = recipe
    assert config.default_scope == 'mmseg'
    assert config.runner_type == 'swin_dense.DenseRunner'
    assert dict(type='swin_dense.ClassCheckHook') in config.custom_hooks
    assert not config.log_processor.by_epoch
    checkpoint = config.default_hooks.checkpoint
    assert not checkpoint.by_epoch and checkpoint.save_best == 'mIoU'
    iterations = 40000 if name in SHORT else 160000
    assert config.train_cfg.max_iters == iterations
    assert config.train_cfg.val_interval == iterations / 10
    assert config.auto_scale_lr.base_batch_size == (
        64 if name in SHORT else 16
    )


@pytest.mark.parametrize(
    'name',
    [
        'upernet_swin_t_ade20k',
        'upernet_swinv2_t_ade20k',
        'upernet_swinv2_l_ade20k_22k_640',
    ],
)
def test_learning_rate_follows_the_formula(name):
    """A line to 0 times a line from (almost) 0 to 1, as in mmcv 1."""
    config = load_config(CONFIGS / f'{name}.py')
    total, warmup = (40000, 375) if name in SHORT else (160000, 1500)
    base = 4e-5 if name in V2 and name not in SHORT else 6e-5
    assert config.optim_wrapper.optimizer.lr == base
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], base)
    schedulers = [
        PARAM_SCHEDULERS.build(dict(cfg, optimizer=optimizer))
        for cfg in config.param_scheduler
    ]
    rates = []
    for _ in range(10000):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    steps = np.arange(len(rates))
    factor = np.minimum(1, 1 - (1 - steps / warmup) * (1 - 1e-6))
    # mmengine's lines end one iteration earlier.
    np.testing.assert_allclose(
        rates, base * factor * (1 - steps / total), atol=base * 1.2 / warmup
    )
    assert rates[0] == pytest.approx(base * 1e-6)
    assert all(
        scheduler.end == end
        for scheduler, end in zip(schedulers, (warmup, total))
    )


@pytest.mark.parametrize('name', V1)
def test_v1_decays_all_but_norms_and_position_biases(name):
    config = load_config(CONFIGS / f'{name}.py')
    config.model.backbone.use_abs_pos_embed = True
    groups = group_by_name(small(config), config)
    exempt = ('norm', 'relative_position_bias_table', 'absolute_pos_embed')
    result = set()
    for parameter, group in groups.items():
        rule = [word for word in exempt if word in parameter]
        result.update(rule)
        assert group['weight_decay'] == (0.0 if rule else 0.01), parameter
        assert group['lr'] == 6e-5
    assert result == set(exempt)


@pytest.mark.parametrize('name', V2)
def test_v2_decays_matrices_and_learns_slower_below(name):
    config = load_config(CONFIGS / f'{name}.py')
    model = small(config)
    groups = group_by_name(model, config)
    base, rate = (6e-5, 1.0) if name in SHORT else (4e-5, 0.95)
    depth = {
        'backbone.patch_embed.proj.weight': 0,
        'backbone.layers.0.blocks.0.attn.qkv.weight': 1,
        'backbone.layers.0.downsample.reduction.weight': 1,
        'backbone.layers.1.blocks.0.mlp.fc1.weight': 2,
        'backbone.layers.1.blocks.1.norm2.bias': 3,
        'backbone.layers.1.downsample.norm.weight': 3,
        'backbone.layers.3.blocks.0.attn.logit_scale': 5,
        'backbone.norm0.weight': 6,
        'decode_head.conv_seg.weight': 6,
        'auxiliary_head.conv_seg.bias': 6,
    }
    for parameter, layer in depth.items():
        assert groups[parameter]['lr'] == pytest.approx(
            base * rate ** (6 - layer)
        )
    for parameter, value in model.named_parameters():
        free = (
            value.ndim == 1
            or 'cpb_mlp' in parameter
            or 'logit_scale' in parameter
        )
        expected = 0.0 if free else 0.05
        assert groups[parameter]['weight_decay'] == expected, parameter


def group_by_name(model, config):
    """The optimizer's settings of each parameter."""
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    names = {id(value): name for name, value in model.named_parameters()}
    groups = {
        names[id(value)]: group
        for group in optimizer.param_groups
        for value in group['params']
    }
    assert set(groups) == set(names.values())  # every parameter is trained
    return groups


@pytest.mark.parametrize('name', [*ADE20K, *OTHERS])
def test_one_training_step(name):
    """Losses are finite and reach all parts."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    model = small(load_config(CONFIGS / f'{name}.py'))
    model.init_weights()
    labels = torch.randint(150, (2, 1, 64, 64))
    labels[:, :, :8] = 255
    samples = [
        SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels
    ]
    losses = model.loss(torch.randn(2, 3, 64, 64), samples)
    total, values = model.parse_losses(losses)
    assert {'decode.loss_ce', 'aux.loss_ce'} <= set(values)
    assert all(torch.isfinite(value) for value in values.values()), values
    total.backward()
    for part in (model.backbone, model.decode_head, model.auxiliary_head):
        assert any(
            parameter.grad is not None and parameter.grad.any()
            for parameter in part.parameters()
        )
