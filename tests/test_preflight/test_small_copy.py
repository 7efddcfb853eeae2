"""Copies of models are narrow, and their parts fit each other."""

import pytest
from mmengine.registry import MODELS, init_default_scope

from swin_dense.engine.launch import load_config
from swin_dense.preflight.small_copy import narrow, small_models

pytest.importorskip('mmdet')


def copy_of(name, factor=0.25):
    cfg = load_config(name)
    init_default_scope(cfg.default_scope)
    before = cfg.model.to_dict()
    what, model = next(iter(small_models(cfg.model, factor)))
    assert what == 'backbone, neck and heads narrowed'
    assert cfg.model.to_dict() == before
    return model


def test_a_detector_of_coco():
    model = copy_of('mask_rcnn_swin_t_coco')
    assert model.backbone.arch.embed_dims == 32
    assert model.backbone.init_cfg.type == 'Xavier'
    assert model.neck.in_channels == [32, 64, 128, 256]
    assert model.neck.out_channels == model.rpn_head.in_channels == 64
    assert model.rpn_head.anchor_generator.scales == [2.0]
    assert model.roi_head.bbox_head.fc_out_channels == 128
    assert model.roi_head.bbox_head.num_classes == 80
    assert model.roi_head.bbox_roi_extractor.finest_scale == 14
    assert model.train_cfg.rcnn.sampler.num == 64
    assert model.train_cfg.rpn.assigner.pos_iou_thr == 0.7


def test_a_segmentor_of_ade():
    model = copy_of('upernet_swin_t_ade20k')
    assert model.decode_head.in_channels == [32, 64, 128, 256]
    assert model.auxiliary_head.in_channels == 128
    assert model.decode_head.channels == 64
    assert model.decode_head.norm_cfg.type == 'BN'
    assert model.decode_head.dropout_ratio == 0


def test_a_recognizer_of_kinetics():
    model = copy_of('video_swin_t_k400')
    assert model.backbone.window_size == (4, 4, 4)
    assert model.backbone.patch_size == (2, 4, 4)
    assert model.cls_head.in_channels == 256
    assert model.cls_head.num_classes == 400


def test_a_small_backbone_stays():
    for name, width in (
        ('cascade_swin_nano_shapes', [32, 64, 128]),
        ('video_swin_nano_shapes', 96),
    ):
        model = copy_of(name)
        reader = model.get('neck') or model.cls_head
        assert reader.in_channels == width


def test_a_composite_backbone_is_one():
    model = copy_of('mask_rcnn_cb_swin_t_coco')
    assert model.backbone.type == 'swin_dense.SwinTransformer'


@pytest.mark.parametrize(
    'name', ['htcpp_swin_b_coco', 'reppoints_v2_swin_t_coco']
)
def test_others_can_be_built(name):
    model = MODELS.build(copy_of(name))
    assert sum(value.numel() for value in model.parameters()) < 12e6


def test_heads_may_stay():
    cfg = load_config('mask_rcnn_swin_t_coco')
    model = narrow(cfg.model, heads=False)
    assert model.neck == dict(cfg.model.neck, in_channels=[32, 64, 128, 256])
    assert cfg.model.neck.in_channels == [96, 192, 384, 768]
