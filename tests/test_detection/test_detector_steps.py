"""Detectors that do not predict in steps are refused."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from helpers.detectors import (
    MMDET_CONFIGS,
)
from swin_dense.detection.tta import DetTTAModel


@pytest.mark.parametrize(
    'config, what',
    [
        ('detr/detr_r50_8xb2-150e_coco.py', 'DETR predicts'),
        (
            'mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
            'Mask2Former predicts',
        ),
        (
            'sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py',
            'predict_bbox, predict_mask differ from CascadeRoIHead',
        ),
        ('solo/solo_r50_fpn_1x_coco.py', 'SOLO predicts'),
        (
            'yolox/yolox_s_8xb8-300e_coco.py',
            r'YOLOXHead predicts: its predict_by_feat, _bbox_post_process '
            r'differ',
        ),
        (
            'ms_rcnn/ms-rcnn_r50_fpn_1x_coco.py',
            'MaskScoringRoIHead predicts: its predict_mask differs',
        ),
        (
            'point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py',
            'PointRendRoIHead predicts: its predict_mask differs',
        ),
    ],
)
def test_other_detectors_are_refused(config, what):
    init_default_scope('mmdet')
    model = Config.fromfile(MMDET_CONFIGS / config).model
    model.backbone.init_cfg = None
    with torch.device('meta'):
        model = MODELS.build(model)
    with pytest.raises(ValueError, match=what) as error:
        DetTTAModel(model)
    assert 'Supported are' in str(error.value)
    assert 'Test without --tta' in str(error.value)
