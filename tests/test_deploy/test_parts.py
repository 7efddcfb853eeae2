"""Which part of a model is exported, and what it computes in PyTorch."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from helpers.command_line import CONFIG
from helpers.models import randomize
from helpers.reference import assert_close
from swin_dense.deploy.parts import NeckPart, choose_part
from swin_dense.engine.launch import load_config
from swin_dense.engine.tasks import DETECTION, SEGMENTATION, VIDEO

HELPERS = Path(__file__).parents[1] / 'helpers'


def build(config, **options):
    cfg = load_config(str(config), options)
    init_default_scope(cfg.default_scope)
    return randomize(MODELS.build(cfg.model)).eval()


def preprocessed(model, pixels):
    """Return pixels in RGB as the model's preprocessor prepares them."""
    mean, std = model.data_preprocessor.mean, model.data_preprocessor.std
    return (pixels - mean) / std


def test_backbone_and_neck_of_a_detector():
    model = build(CONFIG)
    part = choose_part(model, DETECTION)
    assert type(part) is NeckPart and part.channels == 'RGB'
    pixels = 255 * torch.rand(1, 3, 40, 52)
    with torch.no_grad():
        maps = part(pixels)
        expected = model.extract_feat(preprocessed(model, pixels))
    assert part.output_names(len(maps)) == ['map0', 'map1', 'map2', 'map3']
    for found, wanted in zip(maps, expected, strict=True):
        assert_close(found, wanted, 1e-4)
    # Nothing of the heads is in the file.
    assert not [n for n, _ in part.named_parameters() if 'head' in n]
    alone = choose_part(model, DETECTION, backbone_alone=True)
    with torch.no_grad():
        maps = alone(pixels)
        expected = model.backbone(preprocessed(model, pixels))
    for found, wanted in zip(maps, expected, strict=True):
        assert_close(found, wanted, 1e-4)


def test_logits_of_a_segmentor():
    pytest.importorskip('mmseg', reason='the models are of mmsegmentation')
    model = build(HELPERS / 'tiny_upernet.py')
    part = choose_part(model, SEGMENTATION)
    pixels = 255 * torch.rand(1, 3, 40, 52)
    with torch.no_grad():
        (logits,) = part(pixels)
        expected = model.encode_decode(
            preprocessed(model, pixels), [dict(img_shape=(40, 52))]
        )
    assert logits.shape == (1, 150, 40, 52)
    assert_close(logits, expected, 1e-4)
    assert not [n for n, _ in part.named_parameters() if 'auxiliary' in n]


def test_scores_of_a_recognizer():
    pytest.importorskip('mmaction', reason='the models are of mmaction2')
    model = build(HELPERS / 'tiny_video_swin.py')
    part = choose_part(model, VIDEO)
    pixels = 255 * torch.rand(1, 3, 4, 32, 40)
    with torch.no_grad():
        (scores,) = part(pixels)
        features, _ = model.extract_feat(
            preprocessed(model, pixels[0])[None, None], test_mode=True
        )
        expected = model.cls_head(features).softmax(1)
    assert scores.sum().item() == pytest.approx(1, abs=1e-5)
    assert_close(scores, expected, 1e-4)


def test_models_that_are_refused():
    model = build('mask_rcnn_swin_moe_nano_shapes')
    with pytest.raises(ValueError, match='a SwinMoE with experts cannot be'):
        choose_part(model, DETECTION)

    class Cascade(torch.nn.Module):
        backbone = torch.nn.Identity()

    with pytest.raises(
        ValueError, match='a Cascade with Cascade .* add --backbone'
    ):
        choose_part(Cascade(), SEGMENTATION)
    with pytest.raises(ValueError, match='a Linear has no backbone'):
        choose_part(torch.nn.Linear(1, 1), DETECTION)
