"""A host's whole checkpoint gives the same detections here."""

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.layouts.translate import read_backbone
from swin_dense.checkpoints.load import load_model

pytest.importorskip('mmdet', reason='the host is mmdet')

RECIPE = Path(__file__).parents[1] / 'helpers' / 'tiny_mask_rcnn.py'
# For coordinates in pixels and scores; differences up to 2e-5 occurred.
TOLERANCE = 1e-4


def build(backbone):
    """Build a small Mask R-CNN with mmdet's backbone or ours."""
    cfg = Config.fromfile(RECIPE).model
    cfg.backbone.type = backbone
    cfg.backbone.pop('arch')
    cfg.test_cfg.rcnn.score_thr = 0.0
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MODELS.build(cfg).eval()


@pytest.fixture(scope='module')
def host():
    """Return mmdet's model with random weights, and its detections."""
    model = build('mmdet.SwinTransformer')
    generator = torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=generator)
            scale = value[0].numel() ** -0.5 if value.ndim > 1 else 0.1
            value.copy_(noise * scale + name.endswith('norm.weight'))
    return model, detect(model)


def detect(model):
    from mmdet.structures import DetDataSample

    generator = torch.Generator().manual_seed(1)
    sizes = [(64, 77), (50, 64)]
    images = [
        torch.randint(256, (3, *size), dtype=torch.uint8, generator=generator)
        for size in sizes
    ]
    samples = [
        DetDataSample(
            metainfo=dict(
                img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0)
            )
        )
        for size in sizes
    ]
    with torch.no_grad():
        result = model.test_step(dict(inputs=images, data_samples=samples))
    return [sample.pred_instances for sample in result]


def mmdet_3(state):
    meta = dict(dataset_meta=dict(classes=('circle', 'square', 'triangle')))
    return dict(meta=meta, state_dict=OrderedDict(state))


def wrapped(state):
    return dict(state_dict={f'module.{k}': v for k, v in state.items()})


def averaged(state):
    """Store weights as mmengine's EMAHook does: averaged ones first."""
    current = {f'module.{k}': torch.zeros_like(v) for k, v in state.items()}
    return dict(
        mmdet_3(state), ema_state_dict=dict(current, steps=torch.tensor(5))
    )


def official(state):
    """Store weights as the official code for mmdet 2, with its buffers."""
    backbone = read_backbone(state).weights
    result = {f'backbone.{name}': value for name, value in backbone.items()}
    for name in [n for n in result if n.endswith('bias_table')]:
        index = name.replace('bias_table', 'index')
        result[index] = torch.zeros(16, 16, dtype=torch.int64)
    result.update(
        {
            name: value
            for name, value in state.items()
            if not name.startswith('backbone.')
        }
    )
    meta = dict(epoch=36, CLASSES=('circle', 'square', 'triangle'))
    return dict(meta=meta, state_dict=result, optimizer=dict(state={}))


@pytest.mark.parametrize('layout', [mmdet_3, wrapped, averaged, official])
def test_detections_are_the_hosts(layout, host, tmp_path):
    reference, expected = host
    path = tmp_path / 'host.pth'
    torch.save(layout(reference.state_dict()), path)
    model = build('swin_dense.SwinTransformer')
    report = load_model(model, path)
    assert len(report.loaded) == len(model.state_dict())
    assert not report.missing + report.unexpected + report.resized
    assert all('relative_position_index' in n for n in report.dropped)
    for result, other in zip(detect(model), expected):
        assert len(result) == len(other) == 10
        for index in range(len(result)):
            assert result.labels[index] == other.labels[index]
            torch.testing.assert_close(
                result.bboxes[index],
                other.bboxes[index],
                rtol=0,
                atol=TOLERANCE,
            )
            torch.testing.assert_close(
                result.scores[index],
                other.scores[index],
                rtol=0,
                atol=TOLERANCE,
            )
            pixels = result.masks[index] != other.masks[index]
            assert pixels.sum() <= 2  # at the threshold
    # The weights matter: boxes differ from each other and between images.
    assert expected[0].bboxes.std(0).min() > 1
    assert expected[0].masks.any() and not expected[0].masks.all()


def test_our_checkpoint_goes_back_into_the_host(host):
    reference, expected = host
    model = build('swin_dense.SwinTransformer')
    load_model(model, reference.state_dict())
    other = build('mmdet.SwinTransformer')
    report = load_model(other, model.state_dict())
    assert all('relative_position_index' in n for n in report.missing)
    for name, value in reference.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


def test_one_wrong_permutation_is_seen(host):
    """The comparison fails if one merging is in another order."""
    reference, expected = host
    state = official(reference.state_dict())
    name = 'backbone.layers.0.downsample.reduction.weight'
    value = state['state_dict'][name]
    state['state_dict'][name] = value.flip(1)
    model = build('swin_dense.SwinTransformer')
    load_model(model, state)
    result = detect(model)
    assert (result[0].scores - expected[0].scores).abs().max() > TOLERANCE


def test_a_lacking_tensor_is_an_error(host):
    state = dict(host[0].state_dict())
    del state['backbone.stages.2.blocks.0.attn.w_msa.qkv.weight']
    with pytest.raises(
        CheckpointError,
        match=r'1 of \d+ tensors of the model are not in the file '
        r'\(backbone\.layers\.2\.blocks\.0\.attn\.qkv\.weight\)',
    ):
        load_model(build('swin_dense.SwinTransformer'), state)
