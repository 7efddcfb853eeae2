"""Backbones are read in native names, and renamed in whole models."""

import torch

from helpers.state_dicts import (
    assert_same,
    classifier,
    detector,
    native,
    to_native,
)
from swin_dense.checkpoints.layouts.export import export
from swin_dense.checkpoints.layouts.translate import (
    extract_state_dict,
    rename_backbone,
)


def test_classifier_loses_head_norm_and_buffers():
    file = classifier()
    state_dict, name = to_native(extract_state_dict(file))
    assert name == 'Microsoft classifier'
    gone = set(file['model']) - set(state_dict)
    assert {
        'norm.weight',
        'norm.bias',
        'head.weight',
        'head.bias',
        'layers.0.blocks.1.attn_mask',
    } < gone
    assert all(
        n.startswith(('norm.', 'head.'))
        or n.endswith(('attn_mask', 'relative_position_index'))
        for n in gone
    )
    assert len(gone) == 4 + 1 + 12


def test_prefix_of_data_parallel_goes():
    weights = native()
    wrapped = {'model': {f'module.{k}': v for k, v in weights.items()}}
    assert_same(to_native(extract_state_dict(wrapped))[0], weights)


def test_source_is_not_changed():
    file = classifier()
    before = dict(file['model'])
    to_native(extract_state_dict(file))
    assert file['model'].keys() == before.keys()


def test_rename_goes_both_ways():
    model = detector(native())['state_dict']
    reference = {
        k: v for k, v in model.items() if not k.startswith('backbone.')
    }
    backbone = {
        k[9:]: v for k, v in model.items() if k.startswith('backbone.')
    }
    reference.update(
        {f'backbone.{k}': v for k, v in export(backbone, 'mmdet').items()}
    )
    assert rename_backbone(reference, model)[1] == 'mmdet/mmseg detector'
    back, forth = (
        rename_backbone(reference, model)[0],
        rename_backbone(model, reference)[0],
    )
    assert back.keys() == model.keys() and forth.keys() == reference.keys()
    assert all(torch.equal(back[k], model[k]) for k in model)
    assert all(torch.equal(forth[k], reference[k]) for k in reference)
    resnet = {'backbone.conv1.weight': torch.ones(1)}
    assert rename_backbone(resnet, model) == (resnet, 'no Swin')
    assert rename_backbone(model, resnet)[0] == model
