"""Names of the sources, both ways."""
import pytest
import torch
from samples import DEPTHS, classifier, detector, native, segmentor
from torch import nn

from swin_dense.checkpoints.formats import rename, to_mmdet, to_native, unwrap


def assert_same(actual, expected):
    assert list(actual) == list(expected)
    for name, value in expected.items():
        assert torch.equal(actual[name], value), name


@pytest.mark.parametrize('arch', DEPTHS)
def test_round_trip_is_bit_identical(arch):
    weights = native(arch, use_abs_pos_embed=True, pretrain_img_size=32)
    theirs = to_mmdet(weights)
    assert not any(name.startswith('layers') for name in theirs)
    back, name = to_native(theirs)
    assert name == 'mmdet/mmseg backbone'
    assert_same(back, weights)
    assert_same(to_mmdet(back), theirs)


def test_names_of_mmdet():
    theirs = to_mmdet(native())
    block = 'stages.2.blocks.5.'
    expected = [
        'norm1.weight', 'norm1.bias',
        'attn.w_msa.relative_position_bias_table', 'attn.w_msa.qkv.weight',
        'attn.w_msa.qkv.bias', 'attn.w_msa.proj.weight',
        'attn.w_msa.proj.bias', 'norm2.weight', 'norm2.bias',
        'ffn.layers.0.0.weight', 'ffn.layers.0.0.bias', 'ffn.layers.1.weight',
        'ffn.layers.1.bias'
    ]
    assert sorted(n for n in theirs
                  if n.startswith(block)) == sorted(block + name
                                                    for name in expected)
    assert 'patch_embed.projection.weight' in theirs
    assert 'patch_embed.norm.weight' in theirs
    assert 'stages.1.downsample.reduction.weight' in theirs
    assert 'norm3.bias' in theirs


def test_merging_computes_the_same_after_conversion():
    # The official code concatenates slices, mmdet unfolds: same function.
    c = 6
    x = torch.randn(2, c, 8, 6, dtype=torch.float64)
    weights = {
        'layers.0.downsample.norm.weight': torch.randn(4 * c),
        'layers.0.downsample.norm.bias': torch.randn(4 * c),
        'layers.0.downsample.reduction.weight': torch.randn(2 * c, 4 * c)
    }
    weights = {name: value.double() for name, value in weights.items()}

    def merge(tokens, state_dict):
        norm, bias, reduction = state_dict.values()
        tokens = nn.functional.layer_norm(tokens, (4 * c, ), norm, bias)
        return tokens @ reduction.T

    slices = [x[:, :, i::2, j::2] for j in (0, 1) for i in (0, 1)]
    official = torch.cat(slices, 1).flatten(2).mT
    unfolded = nn.functional.unfold(x, 2, stride=2).mT
    torch.testing.assert_close(
        merge(unfolded, to_mmdet(weights)), merge(official, weights))
    assert (official - unfolded).abs().max() > 1


@pytest.mark.parametrize('wrap, name', [
    (lambda w: {
        'state_dict': w
    }, 'mmdet/mmseg backbone'),
    (lambda w: w, 'mmdet/mmseg backbone'),
    (detector, 'mmdet/mmseg detector'),
    (segmentor, 'mmdet/mmseg segmentor'),
])
def test_recognises_mmdet_and_mmseg(wrap, name):
    weights = native()
    state_dict, found = to_native(unwrap(wrap(to_mmdet(weights))))
    assert found == name
    assert_same(state_dict, weights)


def test_recognises_official_files():
    weights = native()
    for wrap, name in ((dict, 'Microsoft backbone'), (detector,
                                                     'Microsoft detector'),
                       (segmentor, 'Microsoft segmentor')):
        state_dict, found = to_native(unwrap(wrap(weights)))
        assert found == name
        assert_same(state_dict, weights)


def test_classifier_loses_head_norm_and_buffers():
    file = classifier()
    state_dict, name = to_native(unwrap(file))
    assert name == 'Microsoft classifier'
    gone = set(file['model']) - set(state_dict)
    assert {
        'norm.weight', 'norm.bias', 'head.weight', 'head.bias',
        'layers.0.blocks.1.attn_mask'
    } < gone
    assert all(
        n.startswith(('norm.',
                      'head.')) or n.endswith(('attn_mask',
                                               'relative_position_index'))
        for n in gone)
    assert len(gone) == 4 + 1 + 12


def test_prefix_of_data_parallel_goes():
    weights = native()
    wrapped = {'model': {f'module.{k}': v for k, v in weights.items()}}
    assert_same(to_native(unwrap(wrapped))[0], weights)


def test_source_is_not_changed():
    file = classifier()
    before = dict(file['model'])
    to_native(unwrap(file))
    assert file['model'].keys() == before.keys()


def test_unknown_format_names_what_was_found():
    resnet = {f'layer1.{i}.conv1.weight': torch.ones(1) for i in range(9)}
    with pytest.raises(ValueError) as error:
        to_native(resnet)
    text = str(error.value)
    assert 'layer1.0.conv1.weight, layer1.1.conv1.weight' in text
    assert 'layer1.5' not in text
    assert 'Microsoft (also SimMIM' in text
    with pytest.raises(ValueError, match='holds no tensors'):
        to_native({})


def test_rename_goes_both_ways():
    ours = detector(native())['state_dict']
    theirs = {k: v for k, v in ours.items() if not k.startswith('backbone.')}
    backbone = {k[9:]: v for k, v in ours.items() if k.startswith('backbone.')}
    theirs.update({f'backbone.{k}': v for k, v in to_mmdet(backbone).items()})
    assert rename(theirs, ours)[1] == 'mmdet/mmseg detector'
    back, forth = rename(theirs, ours)[0], rename(ours, theirs)[0]
    assert back.keys() == ours.keys() and forth.keys() == theirs.keys()
    assert all(torch.equal(back[k], ours[k]) for k in ours)
    assert all(torch.equal(forth[k], theirs[k]) for k in theirs)
    resnet = {'backbone.conv1.weight': torch.ones(1)}
    assert rename(resnet, ours) == (resnet, 'no Swin')
    assert rename(ours, resnet)[0] == ours
