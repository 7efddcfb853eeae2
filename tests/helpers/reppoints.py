"""RepPoints V2 of the smallest size, and a batch to train it on."""

import logging
from pathlib import Path

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData

MODEL_CONFIGS = Path(__file__).resolve().parents[2] / 'configs/_base_/models'
CLASSES = 3
BASES = dict(
    reppoints_v2='reppoints_v2_swin_bifpn',
    mask_reppoints_v2='mask_reppoints_v2_swin_bifpn',
)


def settings(kind):
    """Return the config of a narrow model with strides 8 to 32."""
    init_default_scope('mmdet')
    model = Config.fromfile(MODEL_CONFIGS / f'{BASES[kind]}.py').model
    model.backbone = dict(
        type='swin_dense.SwinTransformer',
        embed_dims=8,
        depths=(1, 1, 1),
        num_heads=(1, 1, 1),
        window_size=4,
        out_indices=(1, 2),
    )
    model.neck.update(in_channels=[16, 32], out_channels=16, num_outs=3)
    model.neck.norm_cfg.num_groups = 4
    model.bbox_head.update(
        num_classes=CLASSES,
        in_channels=16,
        feat_channels=16,
        point_feat_channels=16,
        stacked_convs=1,
        corner_channels=8,
        point_strides=[8, 16, 32],
        norm_cfg=dict(type='GN', num_groups=4),
    )
    if kind == 'mask_reppoints_v2':
        model.bbox_head.update(mask_channels=16, mask_convs=1)
    model.test_cfg.update(nms_pre=60, max_per_img=15)
    return model


def build(kind, **test_cfg):
    """Build the model with its initial weights, the same in every call."""
    model = settings(kind)
    model.test_cfg.update(test_cfg)
    torch.manual_seed(0)
    model = MODELS.build(model)
    logging.disable(logging.INFO)  # a line for each parameter
    model.init_weights()
    logging.disable(logging.NOTSET)
    return model


def objects(boxes, labels, size=(64, 96)):
    """Return the ground truth of an image: boxes, and masks that fill them."""
    masks = np.zeros((len(boxes), *size), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, np.round(boxes).astype(int)):
        mask[y1:y2, x1:x2] = 1
    return InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.long),
        masks=BitmapMasks(masks, *size),
    )


def batch(*instances, size=(64, 96)):
    """Return a batch of noise with the objects of each image."""
    generator = torch.Generator().manual_seed(0)
    meta = dict(
        img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0), img_id=0
    )
    samples = [
        DetDataSample(
            metainfo=dict(meta, img_id=number),
            gt_instances=result,
            ignored_instances=InstanceData(
                bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long()
            ),
        )
        for number, result in enumerate(instances)
    ]
    images = [
        torch.randint(0, 256, (3, *size), generator=generator).byte()
        for _ in samples
    ]
    return dict(inputs=images, data_samples=samples)
