"""Conversion of checkpoints in memory; the tool has tests of its own."""

import pytest
import torch

from helpers.state_dicts import assert_same, classifier, detector, native
from swin_dense.checkpoints import CheckpointError, convert_checkpoint
from swin_dense.checkpoints.convert import format_lists
from swin_dense.checkpoints.layouts.export import export


@pytest.mark.parametrize(
    'target, key, prefix',
    [
        ('official', 'model', ''),
        ('mmdet', 'state_dict', 'backbone.'),
        ('timm', 'state_dict', ''),
        ('torchvision', None, ''),
    ],
)
def test_each_target_has_its_wrapper_and_prefix(target, key, prefix):
    file = classifier()
    result = convert_checkpoint(file, target)
    weights = result.checkpoint if key is None else result.checkpoint[key]
    assert weights is result.weights
    assert all(name.startswith(prefix) for name in weights)
    assert result.report.source_format == 'Microsoft classifier'


def test_a_detector_keeps_its_heads_where_they_are_known():
    file = detector(export(native(), 'mmdet'))
    kept = convert_checkpoint(file, 'official')
    assert kept.checkpoint['meta'] == file['meta']
    assert 'rpn_head.rpn_cls.bias' in kept.weights
    assert 'backbone.layers.0.blocks.0.attn.qkv.weight' in kept.weights
    back = convert_checkpoint(kept.checkpoint, 'mmdet')
    expected = file['state_dict']
    assert_same(back.weights, {name: expected[name] for name in back.weights})
    assert set(back.weights) == set(expected)
    bare = convert_checkpoint(file, 'timm')
    assert not any('rpn_head' in name for name in bare.weights)
    assert 'rpn_head.rpn_cls.bias' in bare.report.dropped


def test_missing_tensors_have_the_lists():
    file = classifier()
    del file['model']['layers.0.blocks.0.mlp.fc1.weight']
    with pytest.raises(CheckpointError, match='not in the file') as error:
        convert_checkpoint(file, 'mmdet', label='a.pth')
    report = error.value.report
    assert report.missing == ['layers.0.blocks.0.mlp.fc1.weight']
    assert '  missing            1  layers.0.blocks.0.mlp.fc1.weight' in (
        format_lists(report)
    )


def test_another_model_is_refused():
    with pytest.raises(CheckpointError, match='a.pth is not a Swin'):
        convert_checkpoint(dict(w=torch.ones(1)), 'mmdet', label='a.pth')
    with pytest.raises(CheckpointError, match='mmaction has no Swin'):
        convert_checkpoint(classifier(), 'mmaction')
