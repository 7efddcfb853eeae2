"""Native names, and the steps of their translation."""

import pytest
import torch

from helpers.layouts import FAMILIES, PUBLISHED, shapes
from swin_dense.checkpoints.layouts.layout import Layout
from swin_dense.checkpoints.native import (
    decode,
    encode,
    family,
    is_output_norm,
    last_norm,
    native_names,
    prefix_above,
    replace_prefix,
)


def test_members_of_the_family():
    models = PUBLISHED.values()
    assert {model.family for model in models} == set(FAMILIES)
    assert all(family(shapes(model)) == model.family for model in models)


@pytest.mark.parametrize(
    'prefix, above',
    [('', ''), ('backbone.', ''), ('model.backbone.', 'model.')],
)
def test_prefix_of_the_module_above(prefix, above):
    assert prefix_above(prefix) == above


def test_norms_of_outputs():
    assert is_output_norm('norm0.weight')
    assert not is_output_norm('norm.weight')
    assert not is_output_norm('layers.0.blocks.0.norm1.weight')
    assert last_norm(['layers.0.a', 'layers.10.a']) == 'norm10.'
    names = dict(a='norm.weight', b='head.weight')
    assert replace_prefix(names, 'norm.', 'norm3.') == dict(
        a='norm3.weight', b='head.weight'
    )


def test_names_beside_the_backbone():
    layout = Layout(
        renames=(('a.', 'x.'),), outside_renames=(('head.', 'h.'),)
    )
    names = ['m.body.x.w', 'm.h.w', 'm.body.h.b', 'other.h.w']
    native_of = native_names(names, layout, 'm.body.')
    assert native_of == {
        'm.body.x.w': 'a.w',
        'm.h.w': 'head.w',
        'm.body.h.b': 'head.b',
    }
    weights = dict.fromkeys(('a.w', 'head.w'), torch.ones(1))
    assert list(encode(weights, layout, 'body.')) == ['body.x.w', 'h.w']


def test_two_names_of_one_tensor():
    state_dict = dict(x=torch.ones(1), y=torch.ones(1))
    message = 'a timm checkpoint with x and y, which both stand for a'
    with pytest.raises(ValueError, match=message):
        decode(state_dict, dict(x='a', y='a'), Layout(), 'timm')
