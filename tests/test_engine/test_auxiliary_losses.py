"""The losses of experts are among the losses of each host's model."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import HOOKS, MODELS, init_default_scope
from mmengine.structures import PixelData
from torch import nn

from helpers import detectors, reppoints
from swin_dense.backbones.swin_moe import take_auxiliary_loss
from swin_dense.engine.auxiliary_losses import add_auxiliary_losses

BASES = Path(__file__).resolve().parents[2] / 'configs/_base_/models'
BACKBONE = dict(
    type='swin_dense.SwinMoE',
    arch=dict(embed_dims=8, depths=(1, 1, 2, 2), num_heads=(1, 1, 1, 1)),
    num_experts=4,
    window_size=4,
)
KINDS = ('mask_rcnn', 'composite', 'mask_reppoints_v2', 'upernet')


def make(kind):
    """Return a model in training, and a batch for it."""
    if kind == 'upernet':
        return segmentor()
    model = detectors.settings(kind.replace('composite', 'mask_rcnn'))
    if kind == 'mask_reppoints_v2':
        arch = dict(embed_dims=8, depths=(1, 2, 2), num_heads=(1, 1, 1))
        model.backbone = dict(BACKBONE, arch=arch, out_indices=(1, 2))
    else:
        model.backbone = BACKBONE
    if kind == 'composite':
        model.type = 'swin_dense.CompositeRCNN'
        model.backbone = dict(
            type='swin_dense.CompositeBackbone',
            backbones=[dict(BACKBONE), dict(BACKBONE)],
        )
    objects = reppoints.objects([[8, 8, 40, 40], [30, 20, 80, 60]], [0, 2])
    torch.manual_seed(0)
    return MODELS.build(model).train(), reppoints.batch(objects)


def segmentor():
    """Return a UPerNet in training, and a batch for it."""
    structures = pytest.importorskip('mmseg.structures')
    init_default_scope('mmseg')
    model = Config.fromfile(BASES / 'upernet_swin.py').model
    model.backbone = BACKBONE
    model.data_preprocessor.size = (64, 64)
    model.decode_head.update(in_channels=[8, 16, 32, 64], channels=8)
    model.auxiliary_head.update(in_channels=32, channels=8)
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(model)).train()
    samples = []
    for _ in range(2):
        labels = torch.zeros(1, 64, 64, dtype=torch.long)
        sample = structures.SegDataSample(gt_sem_seg=PixelData(data=labels))
        samples.append(sample)
    images = [torch.zeros(3, 64, 64, dtype=torch.uint8)] * 2
    return model, dict(inputs=images, data_samples=samples)


@pytest.mark.parametrize('kind', KINDS)
def test_losses_of_a_host(kind):
    model, batch = make(kind)
    batch = model.data_preprocessor(batch, True)
    torch.manual_seed(1)
    before = model(**batch, mode='loss')
    loss = take_auxiliary_loss(model)
    add_auxiliary_losses(model)
    add_auxiliary_losses(model)
    torch.manual_seed(1)
    losses = model(**batch, mode='loss')
    assert losses.keys() - before.keys() == {'loss_experts'}
    assert losses['loss_experts'].item() == loss.item() > 0
    total, parts = model.parse_losses(losses)
    expected, _ = model.parse_losses(before)
    assert total.item() == pytest.approx(expected.item() + loss.item())
    assert parts['loss_experts'] == loss
    total.backward()
    assert take_auxiliary_loss(model) is None


@pytest.mark.parametrize('kind', KINDS[:1])
def test_no_loss_in_evaluation_and_no_old_one(kind):
    model, batch = make(kind)
    add_auxiliary_losses(model)
    batch = model.data_preprocessor(batch, True)
    model.extract_feat(batch['inputs'])  # a pass that asks for no loss
    model.eval()
    assert 'loss_experts' not in model(**batch, mode='loss')
    model.train()
    torch.manual_seed(1)
    once = model(**batch, mode='loss')['loss_experts']
    model.extract_feat(batch['inputs'])
    torch.manual_seed(1)
    assert model(**batch, mode='loss')['loss_experts'] == once


def test_hook_and_models_without_experts():
    model = nn.Sequential(nn.Linear(2, 2))
    add_auxiliary_losses(model)
    assert not model._forward_hooks
    backbone = MODELS.build(BACKBONE)

    class Runner:
        model = nn.Sequential(backbone)

    hook = HOOKS.build(dict(type='swin_dense.AuxiliaryLossHook'))
    hook.before_train(Runner)
    assert len(Runner.model._forward_hooks) == 1


def test_an_unused_loss_is_said_once_and_not_kept(monkeypatch):
    from swin_dense.backbones import swin_moe

    calls = []
    monkeypatch.setattr(swin_moe, '_warn_untaken', lambda: calls.append(1))
    backbone = MODELS.build(BACKBONE).train()
    for _ in range(3):
        backbone(torch.randn(1, 3, 32, 32))
    assert len(calls) == 2
    assert len(backbone._losses) == 1
