"""The video recipes build, train and are the published ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import (
    MODELS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
    init_default_scope,
)

from helpers.moving_squares import moving_square
from swin_dense.engine.launch import load_config

pytest.importorskip('mmaction', reason='the recipes are of mmaction2 models')

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
STORAGE = 'https://github.com/SwinTransformer/storage/releases/download/'
V1 = 'v1.0.0/swin_{}_patch4_window7_224'

# Config: architecture, channels of the last stage, stochastic depth, learning
# rate of the head, weight decay, weights.
RECIPES = {
    'video_swin_t_k400': ('tiny', 768, 0.1, 1e-3, 0.02, V1.format('tiny')),
    'video_swin_s_k400': ('small', 768, 0.1, 1e-3, 0.02, V1.format('small')),
    'video_swin_b_k400': ('base', 1024, 0.3, 1e-3, 0.05, V1.format('base')),
    'video_swin_b_k400_22k': (
        'base',
        1024,
        0.2,
        3e-4,
        0.05,
        V1.format('base') + '_22k',
    ),
    'video_swin_b_k600_22k': (
        'base',
        1024,
        0.2,
        3e-4,
        0.05,
        V1.format('base') + '_22k',
    ),
    'video_swin_l_k400_22k': (
        'large',
        1536,
        0.4,
        1e-3,
        0.05,
        V1.format('large') + '_22k',
    ),
    'video_swin_l_k400_22k_384': (
        'large',
        1536,
        0.4,
        1e-3,
        0.05,
        'v1.0.0/swin_large_patch4_window12_384_22k',
    ),
    'video_swin_b_ssv2': (
        'base',
        1024,
        0.4,
        3e-4,
        0.05,
        'v1.0.4/swin_base_patch244_window1677_kinetics400_22k',
    ),
}
WINDOWS = {
    'video_swin_l_k400_22k_384': (8, 12, 12),
    'video_swin_b_ssv2': (16, 7, 7),
}
V2 = [
    f'video_swinv2_{size}_k400{stage}'
    for size in 'tb'
    for stage in ('', '_320')
]
CLASSES = {'video_swin_b_k600_22k': 600, 'video_swin_b_ssv2': 174}


@pytest.fixture(params=RECIPES)
def recipe(request):
    return request.param, load_config(CONFIGS / f'{request.param}.py')


def small(config):
    """A config's model, built with a backbone of few channels."""
    init_default_scope('mmaction')
    model = config.model
    model.backbone.update(
        arch=dict(embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1)),
        init_cfg=None,
    )
    model.cls_head.in_channels = 64
    return MODELS.build(model)


def test_all_recipes_are_there():
    leaves = {path.stem for path in CONFIGS.glob('video_swin_*.py')}
    nano = {path.stem for path in CONFIGS.glob('video_swin_nano_*.py')}
    assert len(nano) == 3
    assert leaves - nano == set(RECIPES)


def test_model(recipe):
    name, config = recipe
    arch, channels, drop_path, *_, weights = RECIPES[name]
    model = config.model
    assert model.backbone == dict(
        type='swin_dense.SwinTransformer3D',
        arch=arch,
        patch_size=(2, 4, 4),
        window_size=WINDOWS.get(name, (8, 7, 7)),
        drop_path_rate=drop_path,
        init_cfg=dict(type='Pretrained', checkpoint=f'{STORAGE}{weights}.pth'),
    )
    head = dict(
        type='I3DHead',
        in_channels=channels,
        num_classes=CLASSES.get(name, 400),
        dropout_ratio=0.5,
        average_clips='prob',
    )
    if name == 'video_swin_b_ssv2':
        head['label_smooth_eps'] = 0.1
    assert model.cls_head == head
    views = 4 if weights in map(V1.format, ('tiny', 'small', 'base')) else 2
    assert model.test_cfg == dict(max_testing_views=views)
    preprocessor = model.data_preprocessor
    assert preprocessor.mean == [123.675, 116.28, 103.53]
    assert preprocessor.std == [58.395, 57.12, 57.375]
    assert not preprocessor.get('to_rgb')  # frames are decoded as RGB


def steps(loader):
    return [step.type for step in loader.dataset.pipeline]


def test_data(recipe):
    name, config = recipe
    train = config.train_dataloader.dataset.pipeline
    uniform = name == 'video_swin_b_ssv2'
    side, short = (384, 438) if name.endswith('384') else (224, 256)
    sample = 'UniformSample' if uniform else 'SampleFrames'
    augmentation = (
        ['swin_dense.ClipRandAugment', 'RandomErasing']
        if uniform
        else ['Flip']
    )
    assert steps(config.train_dataloader) == [
        'swin_dense.VideoInit',
        sample,
        'swin_dense.VideoDecode',
        'Resize',
        'RandomResizedCrop',
        'Resize',
        *augmentation,
        'FormatShape',
        'PackActionInputs',
    ]
    assert train[1].clip_len == 32
    assert uniform or (train[1].frame_interval, train[1].num_clips) == (2, 1)
    assert train[3] == dict(type='Resize', scale=(-1, short))
    assert train[4] == dict(type='RandomResizedCrop')  # area 0.08 to 1
    assert train[5] == dict(
        type='Resize', scale=(side, side), keep_ratio=False
    )
    if uniform:
        assert (train[6].count, train[6].magnitude) == (4, 7)
        assert train[7].erase_prob == 0.25
    else:
        assert train[6].flip_ratio == 0.5

    val = config.val_dataloader.dataset.pipeline
    assert steps(config.val_dataloader)[3:5] == ['Resize', 'CenterCrop']
    assert val[1].test_mode and val[1].get('num_clips', 1) == 1
    assert (val[3].scale, val[4].crop_size) == ((-1, short), side)

    test = config.test_dataloader.dataset.pipeline
    assert steps(config.test_dataloader)[3:5] == [
        'Resize',
        'swin_dense.EvenCrops',
    ]
    clips, crops = (1, 3) if uniform else (10, 5) if side == 384 else (4, 3)
    assert test[1].test_mode and test[1].get('num_clips', 1) == clips
    assert (test[4].crop_size, test[4].count) == (side, crops)
    assert test[3].scale == (-1, side)

    for loader in (
        config.train_dataloader,
        config.val_dataloader,
        config.test_dataloader,
    ):
        assert loader.dataset.type == 'swin_dense.CheckedVideoDataset'
        assert loader.dataset.num_classes == CLASSES.get(name, 400)
        root = {
            'k400': 'data/kinetics400/',
            'k600': 'data/kinetics600/',
            'ssv2': 'data/sthv2/',
        }[name.split('_')[3]]
        assert loader.dataset.ann_file.startswith(root)
        assert loader.dataset.data_prefix.video.startswith(root)
    assert config.train_dataloader.batch_size == 8
    assert '_train_' in config.train_dataloader.dataset.ann_file
    assert '_val_' in config.test_dataloader.dataset.ann_file
    assert config.val_dataloader.dataset.test_mode
    assert config.test_dataloader.dataset.test_mode


def test_runtime(recipe):
    name, config = recipe
    assert config.default_scope == 'mmaction'
    assert config.runner_type == 'swin_dense.DenseRunner'
    assert dict(type='swin_dense.ClassCheckHook') in config.custom_hooks
    assert config.default_hooks.checkpoint.save_best == 'acc/top1'
    assert config.test_evaluator == dict(type='swin_dense.CheckedAccMetric')
    epochs = 60 if name == 'video_swin_b_ssv2' else 30
    assert config.train_cfg.max_epochs == epochs
    assert config.optim_wrapper.type == 'AmpOptimWrapper'
    assert config.auto_scale_lr.base_batch_size == 64


@pytest.mark.parametrize('name', ['video_swin_t_k400', 'video_swin_b_ssv2'])
def test_learning_rate_follows_the_formula(name):
    """A cosine by epochs, times a line from 0.1 to 1 by iterations."""
    config = load_config(CONFIGS / f'{name}.py')
    base = config.optim_wrapper.optimizer.lr
    epochs, length = config.train_cfg.max_epochs, 8
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], base)
    schedulers = []
    for cfg in config.param_scheduler:
        cfg = dict(cfg, optimizer=optimizer)
        cls = PARAM_SCHEDULERS.get(cfg.pop('type'))
        if cfg.pop('convert_to_iter_based', False):
            schedulers.append(
                cls.build_iter_from_epoch(**cfg, epoch_length=length)
            )
        else:
            schedulers.append(cls(**cfg))
    rates = []
    for step in range(epochs * length):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            if not scheduler.by_epoch or (step + 1) % length == 0:
                scheduler.step()
    step = np.arange(epochs * length)
    cosine = (1 + np.cos(np.pi * (step // length) / epochs)) / 2
    warm_up = np.minimum(1, 0.1 + 0.9 * step / (2.5 * length - 1))
    np.testing.assert_allclose(rates, base * cosine * warm_up, rtol=1e-6)
    assert rates[0] == pytest.approx(base / 10)


def test_head_learns_ten_times_as_fast(recipe):
    name, config = recipe
    _, _, _, rate, decay, _ = RECIPES[name]
    model = small(config)
    wrapper = dict(config.optim_wrapper, type='OptimWrapper')
    wrapper.pop('loss_scale')
    optimizer = build_optim_wrapper(model, wrapper).optimizer
    names = {id(value): key for key, value in model.named_parameters()}
    exempt = set()
    for group in optimizer.param_groups:
        key = names.pop(id(group['params'][0]))
        backbone = key.startswith('backbone.')
        assert backbone or key.startswith('cls_head.')
        assert group['lr'] == pytest.approx(rate / 10 if backbone else rate)
        words = [
            word
            for word in ('norm', 'relative_position_bias_table')
            if word in key
        ]
        exempt.update(words)
        assert group['weight_decay'] == (0.0 if words else decay), key
    assert exempt == {'norm', 'relative_position_bias_table'}
    assert not names  # every parameter is trained
    assert optimizer.defaults['betas'] == (0.9, 0.999)


@pytest.mark.parametrize('name', [*RECIPES, *V2])
def test_one_step_of_training_and_of_the_test(name):
    """From frames of a clip through the pipelines to losses and scores."""
    config = load_config(CONFIGS / f'{name}.py')
    model = small(config)
    model.init_weights()
    shape = (40, 64, 80)
    # A clip as it is before and after decoding, and smaller frames.
    results = dict(
        total_frames=shape[0], start_index=0, label=7, modality='RGB'
    )
    clip = moving_square(0, shape[0], shape[1:])

    def load(loader, **sizes):
        done = dict(results)
        for step in loader.dataset.pipeline[1:]:
            if step.type == 'swin_dense.VideoDecode':
                done['frame_inds'] = done['frame_inds'].ravel()
                done['imgs'] = [clip[i].copy() for i in done['frame_inds']]
                done['original_shape'] = done['img_shape'] = shape[1:]
                continue
            step = dict(step)
            if step['type'] in ('SampleFrames', 'UniformSample'):
                step['clip_len'] = 8
            for key, value in (
                (
                    'scale',
                    (32, 32) if step.get('keep_ratio') is False else (-1, 32),
                ),
                ('crop_size', 32),
            ):
                if key in step:
                    step[key] = value
            done = TRANSFORMS.build(step)(done)
        return done

    np.random.seed(0)
    data = [load(config.train_dataloader) for _ in range(2)]
    assert data[0]['inputs'].shape == (1, 3, 8, 32, 32)
    batch = model.data_preprocessor(pseudo_collate(data), training=True)
    total, values = model.parse_losses(model(**batch, mode='loss'))
    assert torch.isfinite(total) and 'loss_cls' in values
    total.backward()
    for part in (model.backbone, model.cls_head):
        assert any(p.grad.any() for p in part.parameters())

    model.eval()
    views = load(config.test_dataloader)
    clips, crops = {'384': (10, 5), 'ssv2': (1, 3)}.get(
        name.split('_')[-1], (4, 3)
    )
    crops = 5 if name in V2 else crops
    assert views['inputs'].shape == (clips * crops, 3, 8, 32, 32)
    with torch.no_grad():
        (sample,) = model.test_step(pseudo_collate([views]))
    assert sample.pred_score.shape == (config.model.cls_head.num_classes,)
    assert sample.pred_score.sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize('name', V2)
def test_stages_of_swin_v2(name):
    first = not name.endswith('_320')
    config = load_config(CONFIGS / f'{name}.py')
    backbone = config.model.backbone
    arch = 'tiny' if '_t_' in name else 'base'
    assert backbone.type == 'swin_dense.SwinTransformerV2_3D'
    assert (backbone.arch, backbone.patch_size) == (arch, (1, 4, 4))
    # 8 frames; the last map has 8 or 10 tokens a side.
    assert backbone.window_size == ((8, 16, 16) if first else (8, 20, 20))
    assert backbone.pretrained_window_sizes == [
        *[(8, 16, 16)] * 3,
        (8, 8, 8),
    ]
    if first:
        assert backbone.init_cfg.checkpoint == (
            f'{STORAGE}v2.0.0/swinv2_{arch}_patch4_window16_256.pth'
        )
    else:
        before = name.removesuffix('_320')
        assert backbone.init_cfg is None
        assert config.load_from == f'work_dirs/{before}/epoch_20.pth'
    side, epochs, warm_up, batch, rate = (
        (256, 20, 2.5, 80, 3.6e-4) if first else (320, 5, 1, 64, 5e-5)
    )
    sample = config.train_dataloader.dataset.pipeline[1]
    assert (sample.clip_len, sample.frame_interval) == (8, 8)
    assert config.train_dataloader.dataset.pipeline[5].scale == (side, side)
    assert config.val_dataloader.dataset.pipeline[4].crop_size == side
    assert config.test_dataloader.dataset.pipeline[4].crop_size == side
    assert config.train_cfg.max_epochs == epochs
    line, cosine = config.param_scheduler
    assert (line.end, cosine.end, cosine.T_max) == (warm_up, epochs, epochs)
    assert config.auto_scale_lr.base_batch_size == batch
    model = small(config)
    wrapper = dict(config.optim_wrapper, type='OptimWrapper')
    wrapper.pop('loss_scale')
    optimizer = build_optim_wrapper(model, wrapper).optimizer
    names = {id(value): key for key, value in model.named_parameters()}
    exempt = set()
    for group in optimizer.param_groups:
        key = names.pop(id(group['params'][0]))
        words = [
            word for word in ('norm', 'cpb_mlp', 'logit_scale') if word in key
        ]
        exempt.update(words)
        assert group['lr'] == pytest.approx(rate), key
        assert group['weight_decay'] == (0.0 if words else 0.1), key
    assert exempt == {'norm', 'cpb_mlp', 'logit_scale'}
    assert not names


def test_pipelines_are_built(recipe):
    _, config = recipe
    init_default_scope('mmaction')
    for loader in (
        config.train_dataloader,
        config.val_dataloader,
        config.test_dataloader,
    ):
        assert len(Compose(loader.dataset.pipeline).transforms) > 5


def test_nano_models_are_built_as_they_are():
    init_default_scope('mmaction')
    for name, classes in (('shapes', 8), ('two_clips', 2)):
        config = load_config(CONFIGS / f'video_swin_nano_{name}.py')
        model = MODELS.build(config.model).eval()
        scores = model.cls_head(model.backbone(torch.rand(1, 3, 8, 48, 48)))
        assert scores.shape == (1, classes)
        assert sum(p.numel() for p in model.parameters()) < 400_000
        for loader in ('train_dataloader', 'val_dataloader'):
            steps = [step.type for step in config[loader].dataset.pipeline]
            assert steps[:3] == [
                'swin_dense.VideoInit',
                'SampleFrames',
                'swin_dense.VideoDecode',
            ]
            assert 'Flip' not in steps  # left would become right
