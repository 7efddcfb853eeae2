"""Compiling the backbone of a model in place."""

import copy

import pytest
import torch
from torch import nn

from helpers.models import TWO_STAGES
from swin_dense.backbones import CompositeBackbone, SwinTransformer
from swin_dense.engine.compile import compile_backbone

BACKBONE = dict(
    TWO_STAGES, window_size=3, out_indices=(1,), drop_path_rate=0.0
)


class Model(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone


def test_outputs_and_names_stay(logged):
    torch.compiler.reset()
    model = Model(SwinTransformer(**BACKBONE)).eval()
    names = list(model.state_dict())
    x = torch.randn(1, 3, 24, 20)
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    with torch.no_grad():
        (expected,) = model.backbone(x)
        compile_backbone(model, dict(backend=backend, fullgraph=True))
        [out] = model.backbone(x)
    assert len(graphs) == 1
    torch.testing.assert_close(out, expected)
    assert list(model.state_dict()) == names
    # A copy, such as averaged weights, is an ordinary module.
    copied = copy.deepcopy(model)
    copied.load_state_dict(model.state_dict())
    assert any('compiled by torch.compile' in m for m in logged.messages)


@pytest.mark.parametrize('options', [None, False, ''])
def test_nothing_to_do(options):
    model = Model(SwinTransformer(**BACKBONE))
    compile_backbone(model, options)
    assert model.backbone._compiled_call_impl is None


def test_refusals_say_what_to_do():
    model = Model(SwinTransformer(**BACKBONE))
    with pytest.raises(ValueError, match="no backend 'fast'; it has .*eager"):
        compile_backbone(model, 'fast')
    with pytest.raises(ValueError, match='Linear has no Swin backbone'):
        compile_backbone(nn.Linear(1, 1), True)
    config = dict(type='swin_dense.SwinTransformer', **BACKBONE)
    composite = Model(CompositeBackbone([config, config]))
    with pytest.raises(ValueError, match='CompositeBackbone cannot be compil'):
        compile_backbone(composite, 'eager')
