"""What is converted, what is dropped, what is refused."""

import torch
from torch import nn

from helpers.state_dicts import classifier, detector, native, to_native
from swin_dense.checkpoints.layouts.export import export
from swin_dense.checkpoints.layouts.translate import (
    extract_state_dict,
    rename_backbone,
)


def assert_same(actual, expected):
    assert list(actual) == list(expected)
    for name, value in expected.items():
        assert torch.equal(actual[name], value), name


def test_merging_computes_the_same_after_conversion():
    # The official code concatenates slices, mmdet unfolds: same function.
    c = 6
    x = torch.randn(2, c, 8, 6, dtype=torch.float64)
    weights = {
        'layers.0.downsample.norm.weight': torch.randn(4 * c),
        'layers.0.downsample.norm.bias': torch.randn(4 * c),
        'layers.0.downsample.reduction.weight': torch.randn(2 * c, 4 * c),
    }
    weights = {name: value.double() for name, value in weights.items()}

    def merge(tokens, state_dict):
        norm, bias, reduction = state_dict.values()
        tokens = nn.functional.layer_norm(tokens, (4 * c,), norm, bias)
        return tokens @ reduction.T

    slices = [x[:, :, i::2, j::2] for j in (0, 1) for i in (0, 1)]
    official = torch.cat(slices, 1).flatten(2).mT
    unfolded = nn.functional.unfold(x, 2, stride=2).mT
    torch.testing.assert_close(
        merge(unfolded, export(weights, 'mmdet')), merge(official, weights)
    )
    assert (official - unfolded).abs().max() > 1


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
    ours = detector(native())['state_dict']
    theirs = {k: v for k, v in ours.items() if not k.startswith('backbone.')}
    backbone = {k[9:]: v for k, v in ours.items() if k.startswith('backbone.')}
    theirs.update(
        {f'backbone.{k}': v for k, v in export(backbone, 'mmdet').items()}
    )
    assert rename_backbone(theirs, ours)[1] == 'mmdet/mmseg detector'
    back, forth = (
        rename_backbone(theirs, ours)[0],
        rename_backbone(ours, theirs)[0],
    )
    assert back.keys() == ours.keys() and forth.keys() == theirs.keys()
    assert all(torch.equal(back[k], ours[k]) for k in ours)
    assert all(torch.equal(forth[k], theirs[k]) for k in theirs)
    resnet = {'backbone.conv1.weight': torch.ones(1)}
    assert rename_backbone(resnet, ours) == (resnet, 'no Swin')
    assert rename_backbone(ours, resnet)[0] == ours
