"""Losses on both pyramids equal those of the plain detectors."""

from copy import deepcopy

import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import MODELS
from mmengine.structures import InstanceData, PixelData

from helpers.detectors import (
    BACKBONE,
    CLASSES,
    PIPELINE,
    ROI_BASES,
    load,
    settings,
    write_image,
)
from helpers.models import randomize
from swin_dense.detection.tta import DetTTAModel


def composite(kind, **changes):
    """Build a small detector on two backbones without randomness."""
    config = settings(kind)
    config.update(type='swin_dense.CompositeRCNN', **changes)
    swin = dict(BACKBONE, drop_path_rate=0.0)
    config.backbone = dict(
        type='swin_dense.CompositeBackbone', backbones=[swin, swin]
    )
    _take_all(config.train_cfg)
    return config


def _take_all(node):
    """Make all samplers take all candidates."""
    for value in node.values() if isinstance(node, dict) else node:
        if isinstance(value, (dict, list)):
            _take_all(value)
    if isinstance(node, dict) and 'sampler' in node:
        node.sampler.num = 10**6


@pytest.fixture
def samples():
    masks = torch.zeros(2, 64, 96)
    masks[0, 6:40, 4:30] = masks[1, 10:50, 20:80] = 1
    sample = DetDataSample(
        metainfo=dict(
            img_shape=(64, 96),
            ori_shape=(64, 96),
            pad_shape=(64, 96),
            batch_input_shape=(64, 96),
            scale_factor=(1.0, 1.0),
        ),
        gt_instances=InstanceData(
            bboxes=torch.tensor(
                [[4.0, 6.0, 30.0, 40.0], [20.0, 10.0, 80.0, 50.0]]
            ),
            labels=torch.tensor([0, CLASSES - 1]),
            masks=BitmapMasks(masks.numpy().astype('uint8'), 64, 96),
        ),
        gt_sem_seg=PixelData(sem_seg=torch.randint(0, CLASSES, (1, 64, 96))),
    )
    return [sample]


def build(config):
    torch.manual_seed(0)
    return randomize(MODELS.build(deepcopy(config))).train()


def losses_of(detector, pyramid, samples, proposals=None):
    """Return losses of a plain detector on other features.

    With proposals, its RoI heads get these instead of those of its RPN.
    """
    detector.extract_feat = lambda inputs: detector.neck(pyramid)
    rpn = detector.rpn_head
    if proposals is not None:
        compute = type(rpn).loss_and_predict

        def replaced(*args, **kwargs):
            return compute(rpn, *args, **kwargs)[0], proposals

        rpn.loss_and_predict = replaced
    return detector.loss(torch.zeros(1, 3, 64, 96), deepcopy(samples))


PLAIN = dict(
    mask_rcnn='MaskRCNN', cascade='CascadeRCNN', htc='HybridTaskCascade'
)


@pytest.mark.parametrize('kind', ROI_BASES)
def test_losses_by_plain_detectors(kind, samples):
    config = composite(kind)
    model = build(config)
    x = torch.randn(1, 3, 64, 96)
    config.update(type=PLAIN[kind])
    assisting, leading = (build(config) for _ in range(2))
    for plain in (assisting, leading):
        plain.load_state_dict(model.state_dict())
    pyramids = model.backbone.forward_both(x)
    proposals = model.rpn_head.predict(
        model.neck(pyramids[1]), deepcopy(samples)
    )
    for proposal in proposals:
        assert len(proposal) > 2

    lead_proposals = []
    predict = model.rpn_head.loss_and_predict

    def watched(*args, **kwargs):
        losses, proposed = predict(*args, **kwargs)
        lead_proposals.extend(each.clone() for each in proposed)
        return losses, proposed

    model.rpn_head.loss_and_predict = watched
    losses = model.loss(x, deepcopy(samples))
    expected = losses_of(leading, pyramids[1], samples)
    assistant_losses = losses_of(
        assisting, pyramids[0], samples, lead_proposals
    )
    assert len(lead_proposals) == 1  # the assistant makes no proposals
    for name, value in assistant_losses.items():
        if 'loss' in name:
            value = (
                [0.5 * v for v in value]
                if isinstance(value, list)
                else 0.5 * value
            )
        expected[f'aux.{name}'] = value
    assert {*losses} == {*expected}
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, msg=name)
    assert any('loss_mask' in name for name in losses)
    assert ('loss_semantic_seg' in losses) == (kind == 'htc')


def test_weight(samples):
    x = torch.randn(1, 3, 64, 96)
    totals = []
    for weight in (0.0, 1.0, 0.5):
        model = build(composite('mask_rcnn', assistant_loss_weight=weight))
        torch.manual_seed(1)
        total, _ = model.parse_losses(model.loss(x, deepcopy(samples)))
        totals.append(total.item())
    assert totals[2] == pytest.approx((totals[0] + totals[1]) / 2)
    assert totals[0] < totals[1]


def test_gradients_reach_both_backbones(samples):
    model = build(composite('mask_rcnn'))
    total, values = model.parse_losses(
        model.loss(torch.randn(1, 3, 64, 96), samples)
    )
    total.backward()
    assert all(torch.isfinite(value) for value in values.values())
    missing = [
        name
        for name, p in model.named_parameters()
        if p.grad is None or not p.grad.any()
    ]
    assert not [name for name in missing if 'backbone' in name]


@torch.no_grad()
def test_prediction_uses_the_lead_alone(tmp_path):
    config = composite('cascade')
    model = build(config).eval()
    config.update(type=PLAIN['cascade'])
    plain = build(config).eval()
    plain.load_state_dict(model.state_dict())
    plain.backbone.forward = lambda x: model.backbone.forward_both(x)[1]
    data = load(write_image(tmp_path), PIPELINE)
    expected = plain.test_step(data)[0].pred_instances
    instances = model.test_step(data)[0].pred_instances
    assert len(instances) > 5
    assert torch.equal(instances.masks, expected.masks)
    # Test-time augmentation supports the detector.
    single_view = (
        DetTTAModel(model)
        .test_step({key: [values] for key, values in data.items()})[0]
        .pred_instances
    )
    torch.testing.assert_close(
        single_view.bboxes, instances.bboxes, rtol=0, atol=1e-4
    )
    torch.testing.assert_close(single_view.scores, instances.scores)


def test_whole_detector_starts():
    """mmengine's init hooks must find every module."""
    model = MODELS.build(composite('mask_rcnn'))
    model.init_weights()
    for linears in model.backbone.cb_linears:
        for parameter in linears.parameters():
            assert not parameter.any()
    assistant, lead = model.backbone.cb_modules
    assert assistant.patch_embed.proj.weight.any()
    assert not [*lead.patch_embed.parameters()]


def test_backbone_without_an_assistant():
    config = composite('mask_rcnn')
    config.backbone = BACKBONE
    with pytest.raises(ValueError, match='use MaskRCNN, CascadeRCNN or'):
        MODELS.build(config)


def test_without_proposals():
    config = composite('mask_rcnn')
    config.rpn_head = None
    with pytest.raises(ValueError, match='needs an rpn_head'):
        MODELS.build(config)
