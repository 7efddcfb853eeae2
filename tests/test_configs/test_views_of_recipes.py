"""Every detection config can be tested at several scales."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from swin_dense.detection.detector_steps import detector_steps
from swin_dense.engine.launch import load_config
from swin_dense.engine.tta_config import add_tta

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
LEAVES = sorted(
    path.stem
    for path in CONFIGS.glob('*.py')
    if not path.stem.startswith(('upernet', 'video_swin'))
)


@pytest.mark.parametrize('name', LEAVES)
def test_pipeline(name):
    config = load_config(CONFIGS / f'{name}.py')
    plain = config.test_dataloader.dataset.pipeline
    model = config.model.type
    add_tta(config)
    augmented = config.test_dataloader.dataset.pipeline
    resizes, flips, *rest = augmented[-1].transforms
    assert len(augmented) + len(rest) == len(plain)
    assert augmented[0] == plain[0] and len(flips) == 2
    scale = next(step for step in plain if step.type == 'Resize').scale
    scales = [tuple(step.scale) for step in resizes]
    assert scale in scales or 'htcpp' in name
    assert set(rest[-1][0].meta_keys) >= {
        'ori_shape',
        'img_shape',
        'scale_factor',
        'flip',
        'flip_direction',
    }
    assert config.model.type == 'swin_dense.DetTTAModel'
    assert config.model.module.type == model
    sizes = config.model.get('sizes')
    assert sizes is None or len(sizes) == 2 * len(resizes)


def test_hosts():
    """One config for each pair of a detector and its RoI heads."""
    init_default_scope('mmdet')
    hosts = {}
    for name in LEAVES:
        model = load_config(CONFIGS / f'{name}.py').model
        if 'roi_head' not in model:  # RepPoints V2
            continue
        semantic = model.roi_head.get('semantic_head') is not None
        hosts[model.type, model.roi_head.type, semantic] = model
    assert len(hosts) >= 7
    for model in hosts.values():
        model.backbone.init_cfg = None
        with torch.device('meta'):
            host = detector_steps(MODELS.build(model))
        assert host.with_mask
        assert host.test_cfg == model.test_cfg.rcnn


def test_test_scales_of_htcpp():
    """Those of the open HTC++; the paper's are unpublished."""
    config = load_config(CONFIGS / 'htcpp_swin_l_coco.py')
    add_tta(config)
    resizes = config.test_dataloader.dataset.pipeline[-1].transforms[0]
    assert [step.scale for step in resizes] == [
        (3000, side) for side in (600, 800, 1000, 1200, 1400, 1600)
    ]
    assert config.model.sizes == [*'ll', *'ll', 'ml', 'ml', *['sm'] * 6]
