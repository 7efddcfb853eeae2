"""HTC++: what the paper says is in every recipe, and each takes it back."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData, PixelData

from helpers.htc import narrow
from swin_dense.engine.launch import load_config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
URL = 'https://github.com/SwinTransformer/storage/releases/download/'
# Config: architecture, channels, epochs, steps.
V1 = {
    'htcpp_swin_b_coco': ('base', 128, 72, [63, 69]),
    'htcpp_swin_b_coco_no_stuff': ('base', 128, 72, [63, 69]),
    'htcpp_swin_b_coco_1gpu': ('base', 128, 72, [63, 69]),
    'htcpp_swin_l_coco': ('large', 192, 36, [27, 33]),
}
V2 = {
    'htcpp_swinv2_b_coco': ('base', 128),
    'htcpp_swinv2_l_coco': ('large', 192),
}
NANO = 'htcpp_swin_nano_shapes'
TINY = dict(embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))
# Each ingredient, and the one line that takes it back.
SWITCHES = {
    'semantic branch': {
        'model.roi_head.semantic_head': None,
        'train_dataloader.dataset.data_prefix.seg': None,
    },
    'mask information flow': {'model.roi_head.mask_info_flow': False},
    'interleaving': {'model.roi_head.interleaved': False},
    'global attention': {'model.neck.global_attention': None},
    'moved objects': {'train_dataloader.dataset.pipeline.2.prob': 0},
    'soft-NMS': {'model.test_cfg.rcnn.nms.type': 'nms'},
}


def config_of(name, options=None):
    init_default_scope('mmdet')
    return load_config(CONFIGS / f'{name}.py', options)


def tiny(name, options=None):
    """A config whose model is narrow."""
    config = config_of(name, options)
    model = narrow(config.model)
    if name == NANO:
        return config
    if 'V2' in model.backbone.type:
        model.backbone.update(arch=TINY, init_cfg=None)
    else:
        model.backbone.update(TINY, init_cfg=None)
    model.neck.in_channels = [8, 16, 32, 64]
    return config


@pytest.mark.parametrize('name', V1)
def test_recipes_of_the_first_paper(name):
    arch, channels, epochs, steps = V1[name]
    config = config_of(name)
    backbone, neck, roi = (
        config.model[part] for part in ('backbone', 'neck', 'roi_head')
    )
    assert backbone.type == 'swin_dense.SwinTransformer'
    assert (backbone.arch, backbone.window_size) == (arch, 7)
    assert backbone.drop_path_rate == 0.2
    assert backbone.init_cfg.checkpoint == (
        f'{URL}v1.0.0/swin_{arch}_patch4_window7_224_22k.pth'
    )
    assert neck.in_channels == [channels * scale for scale in (1, 2, 4, 8)]
    assert neck.global_attention.mlp_ratio == 4
    assert config.train_cfg.max_epochs == epochs
    warmup, decay = config.param_scheduler
    assert (decay.milestones, decay.gamma, decay.end) == (steps, 0.1, epochs)
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr) == ('AdamW', 1e-4)
    assert optimizer.weight_decay == 0.05
    assert (roi.interleaved, roi.mask_info_flow) == (True, True)
    assert (roi.semantic_head is None) == name.endswith('no_stuff')

    accumulated = config.optim_wrapper.get('accumulative_counts', 1)
    single = name.endswith('1gpu')
    gpus = 1 if single else 8
    images = gpus * config.train_dataloader.batch_size * accumulated
    assert images == config.auto_scale_lr.base_batch_size == 16
    assert warmup.end == 500 * accumulated
    assert backbone.get('with_cp', False) == single
    assert neck.global_attention.get('with_cp', False) == single


@pytest.mark.parametrize('name', V2)
def test_recipes_of_the_second_paper(name):
    arch, channels = V2[name]
    config = config_of(name)
    backbone = config.model.backbone
    assert backbone.type == 'swin_dense.SwinTransformerV2'
    assert (backbone.arch, backbone.window_size) == (arch, 32)
    assert backbone.pretrained_window_sizes == [12, 12, 12, 6]
    assert backbone.with_cp and backbone.sequential_attention
    assert config.model.neck.global_attention.with_cp
    assert backbone.init_cfg.checkpoint == (
        f'{URL}v2.0.0/swinv2_{arch}_patch4_window12_192_22k.pth'
    )
    assert config.model.neck.in_channels[0] == channels
    resize, crop = (
        next(
            step
            for step in config.train_dataloader.dataset.pipeline
            if step.type == kind
        )
        for kind in ('RandomResize', 'RandomCrop')
    )
    assert (resize.scale, resize.ratio_range) == ((1536, 1536), (0.1, 2.0))
    assert crop.crop_size == (1536, 1536)
    assert config.test_dataloader.dataset.pipeline[1].scale == (1536, 1100)
    assert config.train_cfg.max_epochs == 36
    assert config.optim_wrapper.optimizer.lr == 4e-4
    assert config.auto_scale_lr.base_batch_size == 64


@pytest.mark.parametrize('name', [*V1, *V2])
def test_heads_and_data(name):
    config = config_of(name)
    model, roi = config.model, config.model.roi_head
    assert (model.type, roi.type) == (
        'HybridTaskCascade',
        'swin_dense.HTCRoIHead',
    )
    for head in roi.bbox_head:
        assert (head.num_shared_convs, head.num_shared_fcs) == (4, 1)
        assert head.norm_cfg.type == 'SyncBN' and head.reg_class_agnostic
        assert head.loss_bbox == dict(type='GIoULoss', loss_weight=10.0)
        assert head.reg_decoded_bbox
    assert [head.get('with_conv_res', True) for head in roi.mask_head] == [
        False,
        True,
        True,
    ]
    if roi.semantic_head:
        semantic = roi.semantic_head
        assert (semantic.fusion_level, semantic.num_convs) == (1, 4)
        assert (
            semantic.num_classes,
            semantic.loss_seg.ignore_index,
            semantic.loss_seg.loss_weight,
        ) == (183, 255, 0.2)
    assert model.data_preprocessor.pad_seg
    assert model.data_preprocessor.seg_pad_value == 255
    test = model.test_cfg.rcnn
    assert (
        test.score_thr,
        test.nms.type,
        test.nms.iou_threshold,
        test.max_per_img,
    ) == (0.001, 'soft_nms', 0.5, 100)
    data = config.train_dataloader.dataset
    assert [step.type for step in data.pipeline[:3]] == [
        'LoadImageFromFile',
        'LoadAnnotations',
        'swin_dense.InstanceJitter',
    ]
    assert data.pipeline[1].with_seg and data.pipeline[2].prob == 0.5
    seg = None if name.endswith('no_stuff') else 'stuffthingmaps/train2017/'
    assert data.data_prefix.seg == seg
    assert data.num_stuff_classes == 183
    if name in V1:
        resize = data.pipeline[3]
        assert resize == dict(
            type='RandomResize',
            scale=[(1600, 400), (1600, 1400)],
            keep_ratio=True,
        )
        assert config.test_dataloader.dataset.pipeline[1].scale == (1600, 1400)
    assert 'seg' not in config.val_dataloader.dataset.data_prefix


def test_a_tenth_of_the_rate_for_the_backbone_of_swin_v2():
    config = tiny('htcpp_swinv2_b_coco')
    model = MODELS.build(config.model)
    wrapper = dict(config.optim_wrapper, type='OptimWrapper')
    wrapper.pop('loss_scale')
    optimizer = build_optim_wrapper(model, wrapper).optimizer
    names = {parameter: key for key, parameter in model.named_parameters()}
    exempt = ('norm', 'cpb_mlp', 'logit_scale')
    for group in optimizer.param_groups:
        for parameter in group['params']:
            key = names.pop(parameter)
            inside = key.startswith('backbone.')
            assert group['lr'] == pytest.approx(4e-5 if inside else 4e-4), key
            free = any(word in key for word in exempt)
            assert group['weight_decay'] == (0 if free else 0.05), key
    assert not names


@pytest.mark.parametrize('factor', ['half', -1, None])
def test_a_factor_that_is_none(factor):
    config = tiny('htcpp_swinv2_b_coco')
    wrapper = dict(config.optim_wrapper, type='OptimWrapper')
    wrapper.pop('loss_scale')
    wrapper['paramwise_cfg'].backbone_lr_mult = factor
    with pytest.raises(ValueError, match=f'not below 0, got {factor!r}'):
        build_optim_wrapper(MODELS.build(config.model), wrapper)


def sample(classes, stuff):
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    boxes = torch.tensor([[4.0, 6.0, 30.0, 40.0], [20.0, 10.0, 60.0, 50.0]])
    masks = np.zeros((2, 64, 64), np.uint8)
    masks[0, 6:40, 4:30] = masks[1, 10:50, 20:60] = 1
    return DetDataSample(
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
            masks=BitmapMasks(masks, 64, 64),
        ),
        gt_sem_seg=PixelData(sem_seg=torch.randint(stuff, (1, 64, 64))),
    )


def step(config):
    """Losses of a picture with two boxes, and which parts they reach."""
    # What the runner does where one process trains alone.
    model = revert_sync_batchnorm(MODELS.build(config.model))
    model.init_weights()
    classes = model.roi_head.bbox_head[0].num_classes
    stuff = config.train_dataloader.dataset.num_stuff_classes
    losses = model.loss(torch.randn(1, 3, 64, 64), [sample(classes, stuff)])
    total, values = model.parse_losses(losses)
    assert all(torch.isfinite(value) for value in values.values()), values
    total.backward()
    return model, values


@pytest.mark.parametrize(
    'name', ['htcpp_swin_b_coco', 'htcpp_swinv2_b_coco', NANO]
)
def test_one_training_step(name):
    model, values = step(tiny(name))
    assert values['loss_semantic_seg'] > 0
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
    # Its branches start at zero, their ends learn at once.
    assert model.neck.global_attention.proj.weight.grad.any()
    assert model.neck.global_attention.mlp.fc2.weight.grad.any()


@pytest.mark.parametrize('ingredient', SWITCHES)
def test_each_ingredient_can_be_taken_back(ingredient):
    config = tiny(NANO, SWITCHES[ingredient])
    model, values = step(config)
    roi = model.roi_head
    assert (
        ('loss_semantic_seg' in values)
        == roi.with_semantic
        == (ingredient != 'semantic branch')
    )
    assert roi.mask_info_flow == (ingredient != 'mask information flow')
    assert roi.interleaved == (ingredient != 'interleaving')
    assert (model.neck.global_attention is None) == (
        ingredient == 'global attention'
    )
    model.eval()
    with torch.no_grad():
        result = model.predict(torch.randn(1, 3, 64, 64), [sample(3, 7)])[
            0
        ].pred_instances
    assert len(result.masks) == len(result.scores)


@pytest.mark.parametrize('name', ['coco', 'coco_lsj_1536', NANO])
def test_pipelines_keep_image_and_label_map_together(name, tmp_path):
    """From files to the batch that the model gets."""
    from mmdet.utils import register_all_modules

    register_all_modules()
    from mmengine.dataset import Compose, pseudo_collate

    config = config_of(
        {
            'coco': 'htcpp_swin_b_coco',
            'coco_lsj_1536': 'htcpp_swinv2_b_coco',
        }.get(name, name)
    )
    np.random.seed(0)
    pipeline = Compose(config.train_dataloader.dataset.pipeline[2:])
    batch = []
    while len(batch) < 2:
        results = pipeline(scene())
        if results is not None:  # nothing of the object was left
            batch.append(results)
    for results in batch:
        labels = results['data_samples'].gt_sem_seg.sem_seg
        assert labels.shape[1:] == results['inputs'].shape[1:]
    preprocessor = MODELS.build(config.model.data_preprocessor)
    data = preprocessor(pseudo_collate(batch), training=True)
    for image, first in zip(data['inputs'], data['data_samples']):
        labels = first.gt_sem_seg.sem_seg
        assert labels.shape[1:] == image.shape[1:]
        assert set(labels.unique().tolist()) <= {2, 5, 255}
        mask = torch.from_numpy(first.gt_instances.masks.masks[0]).bool()
        assert (labels[0][mask] == 2).float().mean() > 0.9


def scene():
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks

    mask = np.zeros((1, 60, 80), np.uint8)
    mask[0, 20:50, 10:70] = 1
    return dict(
        img=np.full((60, 80, 3), 9, np.uint8),
        img_path='',
        img_id=0,
        img_shape=(60, 80),
        ori_shape=(60, 80),
        gt_bboxes=HorizontalBoxes([[10.0, 20, 70, 50]]),
        gt_bboxes_labels=np.array([0]),
        gt_ignore_flags=np.array([False]),
        gt_masks=BitmapMasks(mask, 60, 80),
        gt_seg_map=np.where(mask[0], 2, 5).astype(np.uint8),
    )
