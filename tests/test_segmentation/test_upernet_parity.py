"""UPerNet with our backbone gives the logits of mmseg's UPerNet."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope

from helpers.models import EVEN, randomize
from helpers.reference import assert_close
from swin_dense.checkpoints.load import load_model

pytest.importorskip('mmseg', reason='the segmentor is of mmseg')

TOLERANCE = 1e-4
CLASSES = 7
BASE = (
    Path(__file__).resolve().parents[2]
    / 'configs'
    / '_base_'
    / 'models'
    / 'upernet_swin.py'
)
SLIDE = dict(mode='slide', crop_size=(64, 80), stride=(40, 56))


def segmentor(backbone_type, **backbone):
    """Build a UPerNet of few channels with random weights of full rank."""
    init_default_scope('mmseg')
    model = deepcopy(Config.fromfile(BASE).model)
    model.backbone = dict(
        type=backbone_type,
        drop_path_rate=0.0,
        **{**EVEN, 'window_size': 7, **backbone},
    )
    channels = model.backbone.embed_dims
    model.decode_head.update(
        in_channels=[channels * scale for scale in (1, 2, 4, 8)],
        channels=16,
        num_classes=CLASSES,
    )
    model.auxiliary_head.update(
        in_channels=channels * 4, channels=16, num_classes=CLASSES
    )
    model = randomize(revert_sync_batchnorm(MODELS.build(model)))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model.eval()


@pytest.fixture(
    scope='module',
    params=[
        dict(),
        dict(window_size=12),
        dict(embed_dims=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24)),
    ],
    ids=['narrow', 'window 12', 'Swin-T'],
)
def pair(request):
    """Return our model with mmseg's weights, and mmseg's model."""
    torch.manual_seed(1)
    host_model = segmentor('mmseg.SwinTransformer', **request.param)
    model = segmentor('swin_dense.SwinTransformer', **request.param)
    report = load_model(model, host_model.state_dict())
    assert not report.missing and not report.unexpected
    return model, host_model


def logits(model, image, test_cfg):
    """Return the logits of a batch at the size of the image."""
    model.test_cfg = Config(test_cfg)
    with torch.no_grad():
        samples = model.predict(image)
    return torch.stack([sample.seg_logits.data for sample in samples])


@pytest.mark.parametrize('size', [(96, 128), (113, 159)])
@pytest.mark.parametrize(
    'test_cfg', [dict(mode='whole'), SLIDE], ids=['whole', 'slide']
)
def test_logits(pair, size, test_cfg):
    image = torch.randn(2, 3, *size)
    expected = logits(pair[1], image, test_cfg)
    assert expected.shape == (2, CLASSES, *size)
    assert expected.std() > 0.1  # so that a tolerance of 1e-4 is strict
    assert_close(logits(pair[0], image, test_cfg), expected, TOLERANCE)


def test_whole_and_slide_differ(pair):
    """If both modes gave the same, they would test the same."""
    image = torch.randn(1, 3, 113, 159)
    whole, slide = (
        logits(pair[0], image, test_cfg)
        for test_cfg in (dict(mode='whole'), SLIDE)
    )
    assert (whole - slide).abs().max() > 0.01


def test_losses_and_gradients(pair):
    """Losses and gradients are equal, including the auxiliary head's."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    image = torch.randn(2, 3, 96, 128)
    labels = torch.randint(CLASSES, (2, 1, 96, 128))
    samples = [
        SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels
    ]
    actual = []
    for model in pair:
        model.zero_grad()
        total, losses = model.parse_losses(model.loss(image, samples))
        total.backward()
        actual.append((losses, model.backbone.patch_embed, model))
    (model, our_embedding, _), (host_model, their_embedding, _) = actual
    for name in ('decode.loss_ce', 'aux.loss_ce'):
        torch.testing.assert_close(
            model[name], host_model[name], rtol=0, atol=TOLERANCE
        )
    expected = their_embedding.projection.weight.grad
    scale = expected.abs().max()
    assert_close(
        our_embedding.proj.weight.grad / scale, expected / scale, TOLERANCE
    )
