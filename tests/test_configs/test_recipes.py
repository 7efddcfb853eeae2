"""Detection configs load and build; the COCO ones are those published."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

from swin_dense.engine.launch import load_config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
LEAVES = sorted(
    path.stem
    for path in CONFIGS.glob('*.py')
    if not path.stem.startswith(('upernet', 'video_swin'))
    and not any(part in path.stem for part in ('_cb_', 'reppoints'))
)

# Config: architecture, output channels, stochastic depth, epochs, steps.
COCO = {
    'mask_rcnn_swin_t_coco_1x': ('tiny', 96, 0.1, 12, [8, 11]),
    'mask_rcnn_swin_t_coco': ('tiny', 96, 0.2, 36, [27, 33]),
    'mask_rcnn_swin_s_coco': ('small', 96, 0.2, 36, [27, 33]),
    'cascade_swin_t_coco_1x': ('tiny', 96, 0.0, 12, [8, 11]),
    'cascade_swin_t_coco': ('tiny', 96, 0.2, 36, [27, 33]),
    'cascade_swin_s_coco': ('small', 96, 0.2, 36, [27, 33]),
    'cascade_swin_b_coco': ('base', 128, 0.3, 36, [27, 33]),
}
# Config: architecture, window, that of the pretrained weights, their file.
SWIN_V2 = {
    f'{method}_swinv2_{letter}_coco{variant}': (
        arch,
        window,
        trained,
        f'swinv2_{arch}_patch4_window{window}_256.pth',
    )
    for method in ('mask_rcnn', 'cascade')
    for letter, arch in zip('tsb', ('tiny', 'small', 'base'))
    for variant, window, trained in (('', 8, 8), ('_w16', 16, [16, 16, 16, 8]))
}
LARGE_SCALE = {
    f'cascade_swinv2_{arch[0]}_coco_lsj_{side}': (arch, side)
    for arch in ('base', 'large')
    for side in (1024, 1536)
}
# Of those that differ in size alone, one is enough. Recipes with more parts
# have tests of their own.
TRAINED = [
    name
    for name in LEAVES
    if 'htcpp' not in name
    and 'swinv2' not in name
    or name
    in (
        'mask_rcnn_swinv2_t_coco_w16',
        'cascade_swinv2_b_coco_lsj_1536',
        'mask_rcnn_swinv2_nano_shapes',
    )
]
MASK_RCNN = [name for name in COCO if name.startswith('mask_rcnn')]
CASCADE = [name for name in COCO if name.startswith('cascade')]
TINY = dict(embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))


@pytest.fixture(params=COCO)
def recipe(request):
    return request.param, load_config(CONFIGS / f'{request.param}.py')


def _tiny(name):
    """A config's model and optimizer settings, the model made small."""
    config = load_config(CONFIGS / f'{name}.py')
    init_default_scope('mmdet')
    model = config.model
    if model.backbone.type in (
        'swin_dense.SwinTransformerV2',
        'swin_dense.SwinMLP',
    ):
        model.backbone.update(arch=TINY, init_cfg=None)
    elif model.backbone.type == 'swin_dense.SwinMoE':
        arch = dict(TINY, depths=(1, 1, 2, 2))
        model.backbone.update(arch=arch, init_cfg=None)
    elif model.backbone.type == 'swin_dense.MiniSwin':
        arch = dict(TINY, blocks=TINY['depths'])
        model.backbone.update(arch=arch, init_cfg=None)
    else:
        model.backbone.update(TINY, init_cfg=None)
    model.neck.in_channels = [
        8 * 2**stage for stage in model.backbone.get('out_indices', range(4))
    ]
    heads = model.roi_head.bbox_head
    for head in heads if isinstance(heads, list) else [heads]:
        head.fc_out_channels = 16
    return config


def test_all_recipes_are_there():
    assert {
        *COCO,
        *SWIN_V2,
        *LARGE_SCALE,
        'mask_rcnn_swin_nano_shapes',
        'cascade_swin_nano_shapes',
        'mask_rcnn_swinv2_nano_shapes',
    } <= set(LEAVES)


@pytest.mark.parametrize('name', TRAINED)
def test_no_decay_for_norms_and_position_biases_alone(name):
    config = _tiny(name)
    # Two members have no absolute embedding.
    if 'mini_swin' not in name and 'swin_moe' not in name:
        config.model.backbone.use_abs_pos_embed = True
    model = MODELS.build(config.model)
    wrapper = dict(config.optim_wrapper, type='OptimWrapper')
    wrapper.pop('loss_scale', None)
    optimizer = build_optim_wrapper(model, wrapper).optimizer
    names = {
        parameter: key
        for key, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    exempt = ['norm', 'absolute_pos_embed', 'relative_position_bias_table']
    if 'swinv2' in name:
        exempt[2:] = ['cpb_mlp', 'logit_scale']
    elif 'swin_mlp' in name:
        exempt.pop()
    elif 'mini_swin' in name:
        exempt.remove('absolute_pos_embed')
    elif 'swin_moe' in name:
        exempt[1:] = ['cpb_mlp', 'fc1_bias']
    result = set()
    for group in optimizer.param_groups:
        assert group['lr'] == config.optim_wrapper.optimizer.lr
        for parameter in group['params']:
            key = names.pop(parameter)
            rule = [word for word in exempt if word in key]
            result.update(rule)
            expected = 0.0 if rule else 0.05
            assert group['weight_decay'] == expected, key
    assert result == set(exempt)
    assert not names  # every parameter is trained


def test_backbone_and_neck(recipe):
    name, config = recipe
    arch, channels, drop_path, _, _ = COCO[name]
    backbone = config.model.backbone
    assert backbone.type == 'swin_dense.SwinTransformer'
    assert (backbone.arch, backbone.drop_path_rate) == (arch, drop_path)
    assert backbone.window_size == 7
    assert backbone.out_indices == (0, 1, 2, 3)
    assert backbone.init_cfg == dict(
        type='Pretrained',
        checkpoint='https://github.com/SwinTransformer/storage/releases/'
        f'download/v1.0.0/swin_{arch}_patch4_window7_224.pth',
    )
    assert config.model.neck == dict(
        type='FPN',
        in_channels=[channels * scale for scale in (1, 2, 4, 8)],
        out_channels=256,
        num_outs=5,
    )


def test_schedule(recipe):
    name, config = recipe
    _, _, _, epochs, steps = COCO[name]
    assert config.train_cfg.max_epochs == epochs
    warmup, decay = config.param_scheduler
    assert warmup == dict(
        type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500
    )
    assert decay == dict(
        type='MultiStepLR',
        begin=0,
        end=epochs,
        by_epoch=True,
        milestones=steps,
        gamma=0.1,
    )
    wrapper = config.optim_wrapper
    assert (wrapper.type, wrapper.loss_scale) == ('AmpOptimWrapper', 'dynamic')
    assert 'clip_grad' not in wrapper
    assert wrapper.optimizer == dict(
        type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05
    )
    assert set(wrapper.paramwise_cfg) == {'custom_keys'}
    assert wrapper.paramwise_cfg.custom_keys == {
        'absolute_pos_embed': dict(decay_mult=0.0),
        'relative_position_bias_table': dict(decay_mult=0.0),
        'norm': dict(decay_mult=0.0),
        'cpb_mlp': dict(decay_mult=0.0),
        'logit_scale': dict(decay_mult=0.0),
    }
    assert config.auto_scale_lr == dict(enable=False, base_batch_size=16)


def test_data(recipe):
    _, config = recipe
    scales = [
        (short, 1333)
        for short in (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)
    ]
    load, annotations, flip, choice, pack = (
        config.train_dataloader.dataset.pipeline
    )
    assert load.type == 'LoadImageFromFile'
    assert (annotations.with_bbox, annotations.with_mask) == (True, True)
    assert flip == dict(type='RandomFlip', prob=0.5)
    assert choice.type == 'RandomChoice' and 'prob' not in choice
    (resize,), (before, crop, after) = choice.transforms
    for step, expected in (
        (resize, scales),
        (after, scales),
        (before, [(400, 1333), (500, 1333), (600, 1333)]),
    ):
        assert step == dict(
            type='RandomChoiceResize', scales=expected, keep_ratio=True
        )
    assert crop == dict(
        type='RandomCrop',
        crop_type='absolute_range',
        crop_size=(384, 600),
        allow_negative_crop=True,
    )
    assert pack.type == 'PackDetInputs'

    test = config.test_dataloader.dataset.pipeline
    assert test[1] == dict(type='Resize', scale=(1333, 800), keep_ratio=True)
    assert [step.type for step in test if 'Flip' in step.type] == []
    assert config.train_dataloader.batch_size == 2
    assert config.train_dataloader.num_workers == 2
    assert config.test_evaluator.metric == ['bbox', 'segm']
    preprocessor = config.model.data_preprocessor
    assert preprocessor.mean == [123.675, 116.28, 103.53]
    assert preprocessor.std == [58.395, 57.12, 57.375]
    assert preprocessor.bgr_to_rgb and preprocessor.pad_size_divisor == 32


def test_region_proposals(recipe):
    name, config = recipe
    head, train = config.model.rpn_head, config.model.train_cfg
    cascade = name in CASCADE
    assert head.in_channels == head.feat_channels == 256
    assert head.anchor_generator == dict(
        type='AnchorGenerator',
        scales=[8],
        ratios=[0.5, 1.0, 2.0],
        strides=[4, 8, 16, 32, 64],
    )
    assert head.bbox_coder == dict(
        type='DeltaXYWHBBoxCoder',
        target_means=[0.0] * 4,
        target_stds=[1.0] * 4,
    )
    assert head.loss_cls == dict(
        type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0
    )
    assert head.loss_bbox == (
        dict(type='SmoothL1Loss', beta=1 / 9, loss_weight=1.0)
        if cascade
        else dict(type='L1Loss', loss_weight=1.0)
    )
    assert train.rpn.assigner == _assigner(0.7, 0.3, 0.3, True)
    assert train.rpn.sampler == _sampler(256, 0.5, False)
    assert train.rpn.allowed_border == (0 if cascade else -1)
    nms = dict(type='nms', iou_threshold=0.7)
    assert train.rpn_proposal == dict(
        nms_pre=2000,
        max_per_img=2000 if cascade else 1000,
        nms=nms,
        min_bbox_size=0,
    )
    assert config.model.test_cfg.rpn == dict(
        nms_pre=1000, max_per_img=1000, nms=nms, min_bbox_size=0
    )


def _assigner(positive, negative, least, low_quality):
    return dict(
        type='MaxIoUAssigner',
        pos_iou_thr=positive,
        neg_iou_thr=negative,
        min_pos_iou=least,
        match_low_quality=low_quality,
        ignore_iof_thr=-1,
    )


def _sampler(number, positive, with_truth):
    return dict(
        type='RandomSampler',
        num=number,
        pos_fraction=positive,
        neg_pos_ub=-1,
        add_gt_as_proposals=with_truth,
    )


def _coder(stds):
    return dict(
        type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=stds
    )


def test_mask_branch_and_test_settings(recipe):
    _, config = recipe
    roi = config.model.roi_head
    for extractor, size in (
        (roi.bbox_roi_extractor, 7),
        (roi.mask_roi_extractor, 14),
    ):
        assert extractor == dict(
            type='SingleRoIExtractor',
            roi_layer=dict(
                type='RoIAlign', output_size=size, sampling_ratio=0
            ),
            out_channels=256,
            featmap_strides=[4, 8, 16, 32],
        )
    assert roi.mask_head == dict(
        type='FCNMaskHead',
        num_convs=4,
        in_channels=256,
        conv_out_channels=256,
        num_classes=80,
        loss_mask=dict(
            type='CrossEntropyLoss', use_mask=True, loss_weight=1.0
        ),
    )
    assert config.model.test_cfg.rcnn == dict(
        score_thr=0.05,
        nms=dict(type='nms', iou_threshold=0.5),
        max_per_img=100,
        mask_thr_binary=0.5,
    )


@pytest.mark.parametrize('name', MASK_RCNN)
def test_mask_rcnn_box_head(name):
    model = Config.fromfile(CONFIGS / f'{name}.py').model
    assert (model.type, model.roi_head.type) == ('MaskRCNN', 'StandardRoIHead')
    assert model.roi_head.bbox_head == dict(
        type='Shared2FCBBoxHead',
        in_channels=256,
        fc_out_channels=1024,
        roi_feat_size=7,
        num_classes=80,
        bbox_coder=_coder([0.1, 0.1, 0.2, 0.2]),
        reg_class_agnostic=False,
        loss_cls=dict(
            type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0
        ),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0),
    )
    rcnn = model.train_cfg.rcnn
    assert rcnn.assigner == _assigner(0.5, 0.5, 0.5, True)
    assert rcnn.sampler == _sampler(512, 0.25, True)
    assert (rcnn.mask_size, rcnn.pos_weight) == (28, -1)


@pytest.mark.parametrize('name', CASCADE)
def test_cascade_box_heads(name):
    model = Config.fromfile(CONFIGS / f'{name}.py').model
    roi, rcnn = model.roi_head, model.train_cfg.rcnn
    assert (model.type, roi.type) == ('CascadeRCNN', 'CascadeRoIHead')
    assert (roi.num_stages, roi.stage_loss_weights) == (3, [1, 0.5, 0.25])
    stds = [
        [0.1, 0.1, 0.2, 0.2],
        [0.05, 0.05, 0.1, 0.1],
        [0.033, 0.033, 0.067, 0.067],
    ]
    for stage in range(3):
        assert roi.bbox_head[stage] == dict(
            type='ConvFCBBoxHead',
            num_shared_convs=4,
            num_shared_fcs=1,
            in_channels=256,
            conv_out_channels=256,
            fc_out_channels=1024,
            roi_feat_size=7,
            num_classes=80,
            bbox_coder=_coder(stds[stage]),
            reg_class_agnostic=False,
            reg_decoded_bbox=True,
            norm_cfg=dict(type='SyncBN', requires_grad=True),
            loss_cls=dict(
                type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0
            ),
            loss_bbox=dict(type='GIoULoss', loss_weight=10.0),
        )
        iou = (0.5, 0.6, 0.7)[stage]
        assert rcnn[stage].assigner == _assigner(iou, iou, iou, False)
        assert rcnn[stage].sampler == _sampler(512, 0.25, True)
        assert (rcnn[stage].mask_size, rcnn[stage].pos_weight) == (28, -1)


def _without_backbone(config):
    """Return all settings except those of backbone and neck."""
    settings = config.to_dict()
    for key in ('backbone', 'neck'):
        del settings['model'][key]
    for key in ('swinv2', 'channels', 'recipe', 'work_dir'):
        settings.pop(key, None)
    return settings


@pytest.mark.parametrize('name', SWIN_V2)
def test_swin_v2_recipes(name):
    """Recipes of V2 equal those of V1, except for the backbone."""
    arch, window, trained, file = SWIN_V2[name]
    config = load_config(CONFIGS / f'{name}.py')
    first = name.replace('swinv2', 'swin').replace('_w16', '')
    # There is no Mask R-CNN with Swin-B in V1.
    first = first.replace('mask_rcnn_swin_b', 'mask_rcnn_swin_s')
    assert _without_backbone(config) == _without_backbone(
        load_config(CONFIGS / f'{first}.py')
    )
    channels = 128 if arch == 'base' else 96
    assert config.model.neck.in_channels == [
        channels * scale for scale in (1, 2, 4, 8)
    ]
    assert config.model.backbone == dict(
        type='swin_dense.SwinTransformerV2',
        arch=arch,
        window_size=window,
        pretrained_window_sizes=trained,
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.3 if arch == 'base' else 0.2,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            f'download/v2.0.0/{file}',
        ),
    )


@pytest.mark.parametrize('name', LARGE_SCALE)
def test_large_scale_recipes(name):
    arch, side = LARGE_SCALE[name]
    config = load_config(CONFIGS / f'{name}.py')
    backbone = config.model.backbone
    assert (backbone.arch, backbone.window_size) == (arch, 32)
    assert backbone.pretrained_window_sizes == [12, 12, 12, 6]
    assert backbone.with_cp and backbone.sequential_attention
    assert backbone.init_cfg.checkpoint.endswith(
        f'v2.0.0/swinv2_{arch}_patch4_window12_192_22k.pth'
    )
    test = config.test_dataloader.dataset.pipeline
    assert test[1] == dict(type='Resize', scale=(side, side), keep_ratio=True)
    assert config.val_dataloader == config.test_dataloader


@pytest.mark.parametrize('side', [1024, 1536])
def test_large_scale_images_are_squares(side):
    from mmcv.transforms import Compose
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks
    from mmdet.utils import register_all_modules

    register_all_modules()
    config = load_config(CONFIGS / f'cascade_swinv2_b_coco_lsj_{side}.py')
    pipeline = Compose(config.train_dataloader.dataset.pipeline[2:])
    np.random.seed(0)
    scales = set()
    for _ in range(8):
        mask = np.zeros((1, 60, 80), np.uint8)
        mask[0, 20:50, 10:70] = 1
        results = pipeline(
            dict(
                img=np.full((60, 80, 3), 9, np.uint8),
                img_path='',
                img_id=0,
                img_shape=(60, 80),
                ori_shape=(60, 80),
                gt_bboxes=HorizontalBoxes([[10.0, 20, 70, 50]]),
                gt_bboxes_labels=np.array([0]),
                gt_ignore_flags=np.array([False]),
                gt_masks=BitmapMasks(mask, 60, 80),
            )
        )
        if results is None:  # the crop left nothing of the object
            continue
        assert results['inputs'].shape == (3, side, side)
        sample = results['data_samples']
        assert sample.gt_instances.masks.masks.shape[1:] == (side, side)
        assert sample.gt_instances.bboxes.tensor.max() <= side
        scales.add(sample.scale_factor[0] * 80 / side)
    assert len(scales) > 3 and min(scales) >= 0.1 and max(scales) <= 2


def test_swin_mlp_recipe_is_that_of_swin_with_another_backbone():
    config, swin = (
        load_config(CONFIGS / f'mask_rcnn_{name}_t_coco.py')
        for name in ('swin_mlp', 'swin')
    )
    assert config.model.backbone == dict(
        type='swin_dense.SwinMLP',
        arch='tiny_c24',
        window_size=8,
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.2,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.5/swin_mlp_tiny_c24_patch4_window8_256.pth',
        ),
    )
    for key in swin:
        if key not in ('model', 'recipe', 'work_dir'):
            assert config[key] == swin[key], key
    for key in swin.model:
        assert key == 'backbone' or config.model[key] == swin.model[key], key


@pytest.mark.parametrize('name', TRAINED)
def test_one_training_step(name):
    """Losses of a picture with two boxes are finite and reach all parts."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    config = _tiny(name)
    # What the runner does where one process trains alone.
    model = revert_sync_batchnorm(MODELS.build(config.model))
    model.init_weights()
    heads = config.model.roi_head.bbox_head
    classes = (heads[0] if isinstance(heads, list) else heads).num_classes
    boxes = torch.tensor([[4.0, 6.0, 30.0, 40.0], [20.0, 10.0, 60.0, 50.0]])
    masks = torch.zeros(2, 64, 64)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist()):
        mask[top:bottom, left:right] = 1
    sample = DetDataSample(
        metainfo=dict(
            img_shape=(64, 64),
            ori_shape=(64, 64),
            pad_shape=(64, 64),
            batch_input_shape=(64, 64),
            scale_factor=(1.0, 1.0),
        ),
        gt_instances=InstanceData(
            bboxes=boxes,
            labels=torch.tensor([0, classes - 1]),
            masks=BitmapMasks(masks.numpy().astype('uint8'), 64, 64),
        ),
    )
    losses = model.loss(torch.randn(1, 3, 64, 64), [sample])
    total, values = model.parse_losses(losses)
    assert all(torch.isfinite(value) for value in values.values()), values
    total.backward()
    for part in (model.backbone, model.neck, model.rpn_head, model.roi_head):
        assert any(
            parameter.grad is not None and parameter.grad.any()
            for parameter in part.parameters()
        )
