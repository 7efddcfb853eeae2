"""Tensors that sources store in another form."""

import torch
from torch import nn

from helpers.layouts import weights
from helpers.state_dicts import assert_same, to_native
from swin_dense.checkpoints.layouts.export import (
    export,
)

BLOCK = 'layers.2.blocks.5.'
MERGING = 'layers.1.downsample.'
HF_BLOCK = 'swin.encoder.layers.2.blocks.5.'
HF2_BLOCK = 'swinv2.encoder.layers.2.blocks.5.'


def test_queries_keys_and_values_in_their_order():
    native = weights('Swin-T')
    reference = export(native, 'huggingface')
    for leaf in ('weight', 'bias'):
        parts = [
            reference[f'{HF_BLOCK}attention.self.{part}.{leaf}']
            for part in ('query', 'key', 'value')
        ]
        assert torch.equal(torch.cat(parts), native[f'{BLOCK}attn.qkv.{leaf}'])
        # File formats require that no two tensors share memory.
        pointers = {part.untyped_storage().data_ptr() for part in parts}
        assert len(pointers) == 3
    v2 = export(weights('Swin V2-T'), 'huggingface')
    assert f'{HF2_BLOCK}attention.self.query.bias' in v2
    assert f'{HF2_BLOCK}attention.self.key.bias' not in v2


def test_bias_of_the_key_is_zero_and_goes():
    native = weights('Swin V2-T')
    reference = export(native, 'torchvision')
    bias = reference['features.5.5.attn.qkv.bias']
    query, key, value = bias.chunk(3)
    assert torch.equal(query, native[f'{BLOCK}attn.q_bias'])
    assert torch.equal(value, native[f'{BLOCK}attn.v_bias'])
    assert not key.any()
    # Training may have changed it, but torchvision does not use it.
    key.fill_(3)
    assert_same(to_native(reference)[0], native)


def test_merging_of_v2_is_reordered_before_its_norm():
    native = weights('Swin V2-T')
    reference = export(native, 'mmpretrain')
    for name, same in (('norm.weight', True), ('reduction.weight', False)):
        assert (
            torch.equal(
                reference[f'stages.2.downsample.{name}'],
                native[f'{MERGING}{name}'],
            )
            is same
        )


def test_merging_computes_the_same_after_conversion():
    # The official code concatenates slices, mmdet unfolds; both are equal.
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
