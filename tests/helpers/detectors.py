"""Build small detectors with random weights, and write an image."""

from pathlib import Path

import cv2
import mmdet
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import MODELS, init_default_scope

from helpers import reppoints
from helpers.models import randomize

MODEL_CONFIGS = Path(__file__).resolve().parents[2] / 'configs/_base_/models'
MMDET_CONFIGS = Path(mmdet.__file__).parent / '.mim' / 'configs'
CLASSES = 3
ROI_BASES = dict(
    mask_rcnn='mask_rcnn_swin_fpn',
    cascade='cascade_mask_rcnn_swin_fpn',
    htc='htcpp_swin',
)
DENSE_BASES = dict(
    retinanet='retinanet/retinanet_r50_fpn_1x_coco.py',
    atss='atss/atss_r50_fpn_1x_coco.py',
)
WIDTH = 32
BACKBONE = dict(
    type='swin_dense.SwinTransformer',
    embed_dims=8,
    depths=(1, 1, 1, 1),
    num_heads=(1, 1, 1, 1),
    window_size=4,
)
RESIZE = dict(type='Resize', scale=(96, 64), keep_ratio=True)
PIPELINE = [
    dict(type='LoadImageFromFile'),
    RESIZE,
    dict(
        type='PackDetInputs',
        meta_keys=(
            'img_id',
            'img_path',
            'ori_shape',
            'img_shape',
            'scale_factor',
        ),
    ),
]


def _shrink(node):
    """Narrow all layers and shorten all towers of a model, in place."""
    if isinstance(node, list):
        for entry in node:
            _shrink(entry)
    if not isinstance(node, dict):
        return
    small = dict(
        num_classes=CLASSES,
        in_channels=WIDTH,
        out_channels=WIDTH,
        feat_channels=2 * WIDTH,  # GroupNorm needs two channels in a group
        conv_out_channels=WIDTH,
        fc_out_channels=WIDTH,
        stacked_convs=1,
        num_convs=1,
        num_shared_convs=1,
    )
    for key, value in node.items():
        if isinstance(value, int) and key in small:
            node[key] = small[key]
        elif isinstance(value, dict) and value.get('type') == 'SyncBN':
            value.type = 'BN'
        else:
            _shrink(value)


def settings(kind):
    """Return the config of a small model.

    `kind` is a key of ROI_BASES, of DENSE_BASES or of `reppoints.BASES`.
    """
    init_default_scope('mmdet')
    if kind in reppoints.BASES:
        return reppoints.settings(kind)
    if kind in ROI_BASES:
        model = Config.fromfile(MODEL_CONFIGS / f'{ROI_BASES[kind]}.py').model
        model.test_cfg.rpn.update(nms_pre=60, max_per_img=16)
        model.test_cfg.rcnn.update(max_per_img=15)
    else:
        model = Config.fromfile(MMDET_CONFIGS / DENSE_BASES[kind]).model
        model.test_cfg.update(nms_pre=60, max_per_img=15)
    _shrink(model)
    model.backbone = BACKBONE
    model.neck.in_channels = [8, 16, 32, 64]
    return model


def build(model):
    """Build a model with weights that are not symmetric in left and right."""
    model = randomize(MODELS.build(model)).eval()
    for name, parameter in model.named_parameters():
        if name.endswith('cls.bias'):  # otherwise one class wins everywhere
            torch.nn.init.zeros_(parameter)
        if 'pts_init_out.bias' in name:  # boxes around their locations
            with torch.no_grad():
                parameter[:4] = torch.tensor([-1.5, -2, 1.5, 2])
    return model


def write_image(folder, name='image.png', mirrored=False):
    """Write an image of smooth noise of 72 x 100 pixels; return the path."""
    rng = np.random.default_rng(0)
    pixels = cv2.GaussianBlur(
        rng.uniform(0, 255, (72, 100, 3)).astype('float32'), (0, 0), 4
    )
    pixels = cv2.normalize(pixels, None, 0, 255, cv2.NORM_MINMAX).round()
    pixels = pixels.astype('uint8')
    path = str(folder / name)
    cv2.imwrite(path, cv2.flip(pixels, 1) if mirrored else pixels)
    return path


def load(path, steps):
    """Load the image at a path as a batch."""
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    from mmcv.transforms import Compose

    return pseudo_collate([Compose(steps)(dict(img_path=path, img_id=1))])
