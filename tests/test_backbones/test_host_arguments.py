"""Arguments that the hosts' configs give to a backbone."""

import pytest
import torch
from torch import nn

from swin_dense.backbones import (
    SwinTransformer,
    SwinTransformer3D,
    SwinTransformerV2,
)
from swin_dense.backbones.host_arguments import (
    arch_sizes,
    depths_and_heads,
    layer_from_cfg,
    pretrained_cfg,
    reject_unknown,
    split_init_cfg,
)
from swin_dense.sizes import SWIN, SWIN_V2

PRETRAINED = dict(type='Pretrained', checkpoint='a.pth')
XAVIER = dict(type='Xavier', layer='Linear')


@pytest.mark.parametrize('arch', ['tiny', 'T', 't', 'Tiny', SWIN['tiny']])
def test_names_of_sizes(arch):
    sizes = arch_sizes(arch, SWIN)
    assert sizes == SWIN['tiny'] and sizes is not SWIN['tiny']


@pytest.mark.parametrize(
    'backbone', [SwinTransformer, SwinTransformerV2, SwinTransformer3D]
)
@pytest.mark.parametrize('arch', ['s', 'Small'])
def test_backbones_read_sizes_alike(backbone, arch):
    with torch.device('meta'):
        model = backbone(arch=arch)
    assert model.stage_depths == [2, 2, 18, 2]


@pytest.mark.parametrize(
    'arch', ['huge', '', 3, dict(depths=(2, 2)), dict(SWIN['tiny'], width=8)]
)
def test_sizes_that_do_not_exist(arch):
    message = 'one of tiny, small, base, large, or a dictionary of embed_dims'
    with pytest.raises(ValueError, match=message):
        arch_sizes(arch, SWIN)


def test_an_optional_size():
    sizes = dict(SWIN['tiny'], extra_norm_every_n_blocks=2)
    assert arch_sizes(sizes, SWIN_V2) == sizes
    with pytest.raises(ValueError):
        arch_sizes(sizes, SWIN)


@pytest.mark.parametrize(
    'init_cfg, expected',
    [
        (None, (None, [])),
        (PRETRAINED, (PRETRAINED, [])),
        (XAVIER, (None, [XAVIER])),
        ([XAVIER, PRETRAINED], (PRETRAINED, [XAVIER])),
        (
            dict(PRETRAINED, prefix='backbone.'),
            (dict(PRETRAINED, prefix='backbone.'), []),
        ),
        ((), (None, [])),
    ],
)
def test_pretrained_weights_are_split_off(init_cfg, expected):
    assert split_init_cfg(init_cfg) == expected


@pytest.mark.parametrize(
    'init_cfg, message',
    [
        ('a.pth', 'a list of these, got'),
        (dict(type='Pretrained'), 'a list of these, got'),
        (dict(type='Xavier'), 'a list of these, got'),
        ([PRETRAINED, PRETRAINED], 'one checkpoint, got 2'),
        (
            dict(PRETRAINED, source_windows=7),
            "no argument 'source_windows'. Did you mean 'source_window'",
        ),
    ],
)
def test_wrong_initialisations(init_cfg, message):
    with pytest.raises(ValueError, match=message):
        split_init_cfg(init_cfg)


def test_the_old_argument_of_pretrained_weights():
    assert pretrained_cfg(None, XAVIER) is XAVIER
    assert pretrained_cfg('a.pth', None) == PRETRAINED
    with pytest.raises(ValueError, match='not both'):
        pretrained_cfg('a.pth', XAVIER)
    with pytest.raises(TypeError, match='file or address, or None, got True'):
        pretrained_cfg(True, None)


def test_layers_by_name():
    assert layer_from_cfg(dict(type='GELU'), 'act_cfg') is nn.GELU
    norm = layer_from_cfg(dict(type='LN', eps=0.5, requires_grad=True), 'norm')
    assert norm(4).eps == 0.5
    assert norm(4).weight.requires_grad
    frozen = layer_from_cfg(dict(type='LN', requires_grad=False), 'norm')
    assert not frozen(4).weight.requires_grad
    with pytest.raises(ValueError, match='act_cfg must name a layer'):
        layer_from_cfg(dict(type='functional'), 'act_cfg')


def test_depths_and_heads_must_agree():
    assert depths_and_heads(SWIN['tiny'])[2] == (6, 12)
    with pytest.raises(ValueError, match='one number for each stage'):
        depths_and_heads(dict(depths=(2, 2), num_heads=(1,)))


def test_unknown_arguments_name_the_closest():
    class Backbone:
        def __init__(self, window_size, depths, **unknown):
            pass

    reject_unknown(Backbone, {})
    with pytest.raises(TypeError) as error:
        reject_unknown(Backbone, dict(windowsize=7))
    assert str(error.value) == (
        "Backbone has no argument 'windowsize'. Did you mean 'window_size'? "
        'It takes: window_size, depths.'
    )
