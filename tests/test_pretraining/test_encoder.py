"""Encoders are the official classifiers without their heads."""

import pytest
import torch

from helpers.models import official_classifier, randomize
from swin_dense.backbones import SwinTransformer, SwinTransformerV2
from swin_dense.checkpoints.load import load_backbone
from swin_dense.pretraining.encoder import (
    SwinEncoder,
    SwinV2Encoder,
    windows_of_maps,
)

SMALL = dict(embed_dims=8, depths=[2, 1], num_heads=[1, 2])
ENCODERS = {
    'v1': (SwinEncoder, SwinTransformer, SMALL),
    'v2': (SwinV2Encoder, SwinTransformerV2, dict(arch=SMALL)),
}


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    'cls, settings, parameters',
    [
        # Swin-T without its head, as MoBY has it.
        (SwinEncoder, dict(), 27_519_354),
        (
            SwinEncoder,
            dict(arch='base', img_size=192, window_size=6),
            86_725_176,
        ),
        (
            SwinV2Encoder,
            dict(arch='base', img_size=224, window_size=14),
            86_893_816,
        ),
    ],
)
def test_parameters_are_the_official_ones(cls, settings, parameters):
    with torch.device('meta'):
        assert count(cls(**settings)) == parameters


@pytest.mark.parametrize('name', ENCODERS)
def test_the_output_is_that_of_the_backbone(name):
    cls, backbone, sizes = ENCODERS[name]
    encoder = randomize(cls(img_size=16, window_size=2, **sizes)).eval()
    names = dict(encoder.named_parameters())
    assert {'norm.weight', 'norm.bias'} < names.keys()
    assert not any(name.startswith('norm1.') for name in names)
    assert encoder.num_channels == 16
    dense = backbone(**sizes, window_size=2, out_indices=(1,)).eval()
    state = encoder.state_dict()
    for part in ('weight', 'bias'):
        state[f'norm1.{part}'] = state.pop(f'norm.{part}')
    dense.load_state_dict(state)
    image = torch.randn(2, 3, 16, 16)
    out = encoder(image)
    assert out.shape == (2, 16, 2, 2)
    # The map is as large as the window, which only an encoder keeps in place:
    # its last block is regular, so both agree.
    torch.testing.assert_close(out, dense(image)[0])


@pytest.mark.parametrize('kind', ['classifier', 'detector', 'pretraining'])
def test_the_norm_is_loaded_by_any_name(kind):
    backbone = randomize(SwinTransformer(**SMALL, window_size=2))
    if kind == 'detector':
        state = backbone.state_dict()
        norm = state['norm1.weight']
        state = {f'backbone.{name}': value for name, value in state.items()}
    else:
        state = official_classifier(backbone)
        state = state.get('model', state)
        norm = state['norm.weight']
    if kind == 'pretraining':
        state = {f'encoder.{name}': value for name, value in state.items()}
        state['encoder.mask_token'] = torch.zeros(1, 1, 8)
    encoder = SwinEncoder(img_size=16, window_size=2, **SMALL)
    load_backbone(encoder, {'state_dict': state})
    assert encoder.norm.weight.equal(norm)


def test_windows_shrink_to_their_maps():
    assert windows_of_maps(192, 4, 12, 4) == [(12, 12)] * 3 + [(6, 6)]
    assert windows_of_maps((64, 32), 4, 7, 2) == [(7, 7), (7, 4)]
    encoder = SwinV2Encoder(arch=SMALL, img_size=16, window_size=4)
    assert [stage.window_size for stage in encoder.layers] == [(4, 4), (2, 2)]


@pytest.mark.parametrize('shrink, rows', [(True, 9), (False, 49)])
def test_tables_of_windows_that_shrink(shrink, rows):
    encoder = SwinEncoder(
        img_size=16, window_size=4, shrink_tables=shrink, **SMALL
    )
    table = encoder.layers[1].blocks[0].attn.relative_position_bias_table
    assert len(table) == rows
    encoder(torch.randn(1, 3, 16, 16)).square().sum().backward()
    # A map of 2 x 2 tokens has nine offsets.
    assert (table.grad.abs().sum(1) > 0).sum() == 9


def test_a_size_without_whole_tokens_is_refused():
    with pytest.raises(ValueError, match='img_size=100 is no multiple of 32x'):
        SwinEncoder(img_size=100)


def test_an_unknown_argument_is_named_with_those_of_the_backbone():
    with pytest.raises(TypeError, match="'windw_size'. Did you mean 'window"):
        SwinEncoder(windw_size=7)
    with pytest.raises(TypeError, match=r'takes: img_size.*drop_path_rate'):
        SwinEncoder(momentum=1)
