"""Hosts' configs whose models call operators that mmcv compiles: they run."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from swin_dense.engine.launch import load_config

CHANNELS = [12, 24, 48, 96]
SWIN = dict(
    type='swin_dense.SwinTransformer',
    embed_dims=12,
    depths=[1, 1, 1, 1],
    num_heads=[1, 2, 2, 4],
    window_size=4,
)


def build(name, folder, backbone=SWIN, **options):
    """Return a host's model with a small Swin, from a config `host::path`."""
    path = folder / 'config.py'
    path.write_text(f'_base_ = {name!r}\n')
    cfg = load_config(path, options)
    if backbone:
        cfg.model.backbone = Config(dict(backbone))
    torch.manual_seed(0)
    scope = name.split('::')[0]
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(cfg.model)
    return model


def detection_batch(with_masks=False):
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    sample = DetDataSample(
        metainfo=dict(
            img_shape=(96, 128), ori_shape=(96, 128), scale_factor=(1.0, 1.0)
        )
    )
    boxes = torch.tensor([[10.0, 12.0, 70.0, 60.0], [40.0, 30.0, 120.0, 90.0]])
    sample.gt_instances = InstanceData(
        bboxes=boxes, labels=torch.tensor([0, 3])
    )
    if with_masks:
        masks = np.zeros((2, 96, 128), np.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist()):
            mask[y1:y2, x1:x2] = 1
        sample.gt_instances.masks = BitmapMasks(masks, 96, 128)
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(
        256, (3, 96, 128), dtype=torch.uint8, generator=generator
    )
    return dict(inputs=[image], data_samples=[sample])


def train_and_predict(model, batch, unread=()):
    """Check that the loss reaches the weights; return losses, predictions.

    `unread` names norms of the backbone whose maps the model does not read.
    """
    model.train()
    loss, parts = model.parse_losses(
        model(**model.data_preprocessor(batch, True), mode='loss')
    )
    assert torch.isfinite(loss) and loss > 0, parts
    loss.backward()
    missing = {
        name
        for name, value in model.named_parameters()
        if value.requires_grad and value.grad is None
    }
    assert missing == {
        f'backbone.{norm}.{kind}'
        for norm in unread
        for kind in ('weight', 'bias')
    }
    with torch.no_grad():
        return parts, model.eval().test_step(batch)


# Sizes at which a test is affordable; the rest is the host's.
TWO_STAGES = {
    'model.neck.in_channels': CHANNELS,
    'model.roi_head.bbox_head.fc_out_channels': 32,
    'model.train_cfg.rcnn.sampler.num': 32,
    'model.train_cfg.rpn_proposal.max_per_img': 50,
    'model.test_cfg.rpn.max_per_img': 20,
    'model.test_cfg.rcnn.score_thr': 0.0,
    'model.test_cfg.rcnn.max_per_img': 10,
}
ONE_STAGE = {
    'model.neck.in_channels': CHANNELS,
    'model.test_cfg.score_thr': 0.0,
    'model.test_cfg.max_per_img': 10,
}
POOL = 'model.roi_head.bbox_roi_extractor.roi_layer.deform_fc_channels'
DETECTORS = {
    'pisa/mask-rcnn_r50_fpn_pisa_1x_coco': TWO_STAGES,
    'pisa/retinanet-r50_fpn_pisa_1x_coco': ONE_STAGE,
    'carafe/mask-rcnn_r50_fpn-carafe_1x_coco': TWO_STAGES,
    'guided_anchoring/ga-faster-rcnn_r50_fpn_1x_coco': TWO_STAGES,
    'guided_anchoring/ga-retinanet_r50_fpn_1x_coco': ONE_STAGE,
    'dcn/faster-rcnn_r50_fpn_dpool_1x_coco': {**TWO_STAGES, POOL: 32},
    'dcnv2/faster-rcnn_r50_fpn_mdpool_1x_coco': {**TWO_STAGES, POOL: 32},
}


@pytest.mark.parametrize('name', DETECTORS)
def test_detector(name, tmp_path):
    pytest.importorskip('mmdet', reason='a config of mmdet')
    model = build(f'mmdet::{name}.py', tmp_path, **DETECTORS[name])
    losses, (prediction,) = train_and_predict(
        model,
        detection_batch('mask' in name),
        ['norm0'] if 'retinanet' in name else [],
    )
    assert ('loss_carl' in losses) == name.startswith('pisa')
    result = prediction.pred_instances
    assert len(result) == 10
    if 'mask' in name:
        assert result.masks.shape == (10, 96, 128)


def test_segmentor(tmp_path):
    pytest.importorskip('mmseg', reason='a config of mmsegmentation')
    pytest.importorskip('regex', reason='mmsegmentation imports it')
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    model = build(
        'mmseg::psanet/psanet_r50-d8_4xb4-80k_ade20k-512x512.py',
        tmp_path,
        **{
            'model.decode_head.in_channels': CHANNELS[3],
            'model.decode_head.channels': 8,
            'model.decode_head.mask_size': (5, 7),
            'model.auxiliary_head.in_channels': CHANNELS[2],
            'model.auxiliary_head.channels': 8,
        },
    )
    shape = dict(img_shape=(64, 64), ori_shape=(64, 64))
    samples = [SegDataSample(metainfo=shape) for _ in range(2)]
    for sample in samples:
        sample.gt_sem_seg = PixelData(data=torch.randint(150, (1, 64, 64)))
    images = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    _, predictions = train_and_predict(
        model,
        dict(inputs=list(images), data_samples=samples),
        ['norm0', 'norm1'],
    )
    assert predictions[0].pred_sem_seg.data.shape == (1, 64, 64)


def test_recognizer(tmp_path):
    pytest.importorskip('mmaction', reason='a config of mmaction2')
    from mmaction.structures import ActionDataSample

    model = build(
        'mmaction::recognition/tin/'
        'tin_imagenet-pretrained-r50_8xb6-1x1x8-40e_sthv2-rgb.py',
        tmp_path,
        backbone=None,
        **{'model.backbone.pretrained': None},
    )
    sample = ActionDataSample()
    sample.set_gt_label(3)
    clip = torch.randint(256, (8, 3, 64, 64), dtype=torch.uint8)
    _, predictions = train_and_predict(
        model, dict(inputs=[clip], data_samples=[sample])
    )
    assert predictions[0].pred_score.shape == (174,)
