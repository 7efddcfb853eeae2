"""The recipes of CBNetV2: the published settings, sizes and costs."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from torch.utils.flop_counter import FlopCounterMode

from swin_dense.analysis.flops import FLOPS_PER_MAC, count_flops
from swin_dense.engine.launch import load_config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
# Architecture, stochastic depth, epochs, steps, file; parameters (M), FLOPs
# (G) of the published tables.
RECIPES = dict(
    mask_rcnn_cb_swin_t_coco=(
        'tiny',
        0.2,
        36,
        [27, 33],
        'swin_tiny_patch4_window7_224',
        76,
        357,
    ),
    cascade_cb_swin_s_coco=(
        'small',
        0.2,
        36,
        [27, 33],
        'swin_small_patch4_window7_224',
        156,
        1016,
    ),
    htcpp_cb_swin_b_coco=(
        'base',
        0.3,
        20,
        [16, 19],
        'swin_base_patch4_window7_224_22k',
        235,
        1348,
    ),
    htcpp_cb_swin_l_coco=(
        'large',
        0.2,
        12,
        [8, 11],
        'swin_large_patch4_window7_224_22k',
        453,
        2162,
    ),
)
LARGE_SCALE = [name for name in RECIPES if not name.startswith('mask')]
SOFT = dict(type='soft_nms', iou_threshold=0.5)


@pytest.fixture(params=RECIPES)
def recipe(request):
    config = load_config(CONFIGS / f'{request.param}.py')
    init_default_scope('mmdet')
    return request.param, config


def test_all_are_here():
    assert {path.stem for path in CONFIGS.glob('*_cb_*.py')} == {*RECIPES}


def test_backbone(recipe):
    name, config = recipe
    arch, drop_path, _, _, file, *_ = RECIPES[name]
    swin = dict(
        type='swin_dense.SwinTransformer', arch=arch, drop_path_rate=drop_path
    )
    assert config.model.type == 'swin_dense.CompositeRCNN'
    assert config.model.backbone == dict(
        type='swin_dense.CompositeBackbone',
        backbones=[swin, swin],
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            f'download/v1.0.0/{file}.pth',
        ),
    )


def test_schedule(recipe):
    name, config = recipe
    _, _, epochs, steps, *_ = RECIPES[name]
    assert config.train_cfg.max_epochs == epochs
    warmup, decay = config.param_scheduler
    assert (warmup.end, warmup.start_factor) == (500, 0.001)
    assert (decay.end, decay.milestones, decay.gamma) == (epochs, steps, 0.1)
    batch = 1 if name in LARGE_SCALE else 2
    assert config.train_dataloader.batch_size == batch
    assert config.auto_scale_lr.base_batch_size == 8 * batch
    assert config.optim_wrapper.optimizer == dict(
        type='AdamW', lr=batch * 5e-5, betas=(0.9, 0.999), weight_decay=0.05
    )


@pytest.mark.parametrize('name', LARGE_SCALE)
def test_scales_and_soft_nms(name):
    config = load_config(CONFIGS / f'{name}.py')
    steps = {
        step.type: step for step in config.train_dataloader.dataset.pipeline
    }
    semantic = name.startswith('htc')
    assert {*steps} == {
        'LoadImageFromFile',
        'LoadAnnotations',
        'RandomResize',
        'RandomFlip',
        'PackDetInputs',
    }
    assert steps['RandomResize'] == dict(
        type='RandomResize', scale=[(1600, 400), (1600, 1400)], keep_ratio=True
    )
    assert steps['LoadAnnotations'].get('with_seg', False) is semantic
    for loader in (config.val_dataloader, config.test_dataloader):
        assert loader.dataset.pipeline[1] == dict(
            type='Resize', scale=(1600, 1400), keep_ratio=True
        )
    test = config.model.test_cfg.rcnn
    assert (test.score_thr, test.nms, test.max_per_img) == (0.001, SOFT, 100)


def test_heads_are_those_of_the_plain_recipe(recipe):
    name, config = recipe
    plain = load_config(
        CONFIGS / f'{name.replace("_cb", "").replace("_l_", "_b_")}.py'
    )
    for key in ('rpn_head', 'roi_head', 'train_cfg', 'data_preprocessor'):
        assert config.model[key] == plain.model[key]
    neck = dict(plain.model.neck)
    if 'htc' in name:  # CBNetV2 has no global attention
        neck['global_attention'] = None
    if '_l_' in name:
        neck['in_channels'] = [192, 384, 768, 1536]
    assert config.model.neck == neck


@pytest.mark.parametrize('letter', 'bl')
def test_published_test_at_several_scales(letter):
    config = load_config(CONFIGS / f'htcpp_cb_swin_{letter}_coco.py')
    assert config.tta == dict(
        scales=[(1600, 1000), (1600, 1400), (1800, 1200), (1800, 1600)]
    )


@pytest.mark.parametrize(
    'recipe',
    [
        name
        if name[-6] in 'tl'
        else pytest.param(name, marks=pytest.mark.slow)
        for name in RECIPES
    ],
    indirect=True,
)
def test_published_parameters_and_flops(recipe):
    """The published tool counted no product of queries, keys and values.

    Without them, all but FLOPs of norms and activations is the same.
    """
    name, config = recipe
    *_, params, flops = RECIPES[name]
    config.model.backbone.init_cfg = None
    with torch.device('meta'):
        model = MODELS.build(config.model)
        complexity = count_flops(model, (800, 1280))
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.backbone.eval()(torch.empty(1, 3, 800, 1280))
    assert round(complexity.params / 1e6) == params
    inside = sum(
        number
        for operator, number in counter.get_flop_counts()['Global'].items()
        if str(operator) not in ('aten.addmm', 'aten.mm', 'aten.convolution')
    )
    assert inside > 0
    left = (complexity.flops - inside // FLOPS_PER_MAC) / 1e9
    assert left == pytest.approx(flops, rel=2e-3)
    assert complexity.flops / 1e9 == pytest.approx(flops, rel=0.02)
