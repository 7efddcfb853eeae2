"""Load weights of Video Swin and of models for images into Video Swin."""

import re

import pytest
import torch

from helpers.models import NARROW, randomize
from helpers.reference import assert_close
from swin_dense.backbones import SwinTransformer, SwinTransformer3D
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.load import load_backbone
from swin_dense.checkpoints.position import resize_bias_table

TABLE = 'layers.2.blocks.1.attn.relative_position_bias_table'


def build(**kwargs):
    return SwinTransformer3D(NARROW, **kwargs)


def official(state_dict, prefix, **heads):
    """Return the official layout, whose last norm has no number."""
    renamed = {
        prefix + re.sub('^norm3', 'norm', name): value
        for name, value in state_dict.items()
    }
    renamed[prefix + 'layers.0.blocks.0.attn.relative_position_index'] = (
        torch.zeros(4, 4, dtype=torch.long)
    )
    return renamed | heads


def recognizer(state_dict):
    """Return an official checkpoint of Kinetics."""
    head = {
        'cls_head.fc_cls.weight': torch.randn(4, 64),
        'cls_head.fc_cls.bias': torch.randn(4),
    }
    return {'state_dict': official(state_dict, 'backbone.', **head)}


def mmaction(state_dict):
    """Return a checkpoint of mmaction2."""
    native = {'backbone.' + k: v for k, v in state_dict.items()}
    return {
        'meta': {},
        'state_dict': {**native, 'cls_head.fc_cls.weight': torch.randn(4, 64)},
    }


def image_classifier(state_dict):
    """Return an official checkpoint of ImageNet."""
    head = {'head.weight': torch.randn(10, 64), 'head.bias': torch.randn(10)}
    return {'model': official(state_dict, '', **head)}


@pytest.mark.parametrize('layout', [recognizer, mmaction, dict])
def test_layouts(layout):
    source = randomize(build())
    report = load_backbone(model := build(), layout(source.state_dict()))
    for name, value in source.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert len(report.loaded) == len(source.state_dict())
    assert not report.missing and not report.unexpected


@pytest.mark.parametrize('layout', [recognizer, mmaction])
def test_norms_of_further_outputs_start_fresh(layout):
    source = randomize(build())
    model = build(out_indices=(0, 3))
    report = load_backbone(model, layout(source.state_dict()))
    assert report.missing == ['norm0.weight', 'norm0.bias']
    assert torch.equal(model.norm3.bias, source.norm3.bias)
    report = load_backbone(
        build(out_indices=(1,)), layout(source.state_dict())
    )
    assert report.missing == ['norm1.weight', 'norm1.bias']
    assert {name.split('.')[-1] for name in report.dropped} >= {'bias'}


def test_longer_window():
    source = randomize(build())
    model = build(window_size=(16, 7, 7))
    report = load_backbone(model, recognizer(source.state_dict()))
    tables = [name for name in source.state_dict() if 'table' in name]
    assert sorted(report.resized) == sorted(tables)
    assert '15x13x13 -> 31x13x13 in 6 blocks' in report.summary()
    old = source.state_dict()[TABLE].unflatten(0, (15, 13, 13))
    new = model.state_dict()[TABLE].unflatten(0, (31, 13, 13))
    assert torch.equal(
        new.flatten(0, 2),
        resize_bias_table(old.flatten(0, 2), (8, 7, 7), (16, 7, 7)),
    )
    # Height and width stay, and the bias of offset 0 in time does, too.
    assert_close(new[15], old[7], 1e-5)
    assert_close(
        new.mean((1, 2)),
        resize_bias_table(
            old.mean((1, 2), keepdim=True).flatten(0, 2), (8, 1, 1), (16, 1, 1)
        ),
        1e-5,
    )


def test_inflation():
    image = randomize(SwinTransformer(**NARROW, out_indices=(3,))).eval()
    model = build().eval()
    report = load_backbone(model, image_classifier(image.state_dict()))
    assert not report.missing
    assert torch.equal(model.norm3.weight, image.norm3.weight)
    assert 'inflated from images' in report.summary()
    x = torch.randn(1, 3, 232, 260)
    clip = x[:, :, None].expand(-1, -1, 16, -1, -1)
    with torch.no_grad():
        still = model(clip)
        (expected,) = image(x)
    assert_close(still, expected[:, :, None].expand_as(still), 1e-4)


def test_inflation_to_another_window():
    image = randomize(SwinTransformer(**NARROW, window_size=12))
    model = build(window_size=(4, 7, 7))
    report = load_backbone(model, image_classifier(image.state_dict()))
    assert 'inflated' in report.summary()
    assert '7x23x23 -> 7x13x13' in report.summary()
    flat = resize_bias_table(image.state_dict()[TABLE], 12, 7)
    for step in model.state_dict()[TABLE].unflatten(0, (7, -1)):
        assert_close(step, flat, 1e-6)


def test_inflation_is_that_of_mmaction2(tmp_path):
    backbones = pytest.importorskip(
        'mmaction.models.backbones', reason='mmaction2 is not installed'
    )
    image = randomize(SwinTransformer(**NARROW, window_size=5))
    path = str(tmp_path / 'image.pth')
    torch.save(image_classifier(image.state_dict()), path)
    arguments = dict(arch=NARROW, pretrained=path, window_size=(4, 7, 7))
    reference = backbones.SwinTransformer3D(**arguments)
    output = SwinTransformer3D(**arguments)
    for model in (reference, output):
        model.init_weights()
    for name, value in output.state_dict().items():
        assert_close(value, reference.state_dict()[name], 1e-5)


def test_a_network_for_clips_is_loaded_as_it_is(tmp_path):
    source = randomize(build())
    path = str(tmp_path / 'video.pth')
    torch.save(recognizer(source.state_dict()), path)
    for pretrained2d in (True, False):
        model = build(pretrained=path, pretrained2d=pretrained2d)
        model.init_weights()
        assert torch.equal(model.norm3.weight, source.norm3.weight)


def test_images_as_clips_and_clips_as_images():
    image, video = SwinTransformer(**NARROW), build()
    with pytest.raises(
        CheckpointError,
        match='holds Swin V1 for images, the model is Video Swin: .*'
        'pretrained2d=True',
    ):
        load_backbone(
            build(pretrained2d=False), image_classifier(image.state_dict())
        )
    with pytest.raises(
        CheckpointError,
        match='holds Video Swin, the model is Swin V1 for images',
    ):
        load_backbone(image, recognizer(video.state_dict()))
