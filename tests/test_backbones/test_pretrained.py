"""`pretrained` loads weights at once, and never twice."""

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from helpers.models import NARROW, make
from swin_dense.backbones import (
    CompositeBackbone,
    MiniSwin,
    SwinMLP,
    SwinMoE,
    SwinTransformer,
    SwinTransformer3D,
    SwinTransformerV2,
    SwinTransformerV2_3D,
    base,
)
from swin_dense.checkpoints import CheckpointError

CLASSES = (
    MiniSwin,
    SwinMLP,
    SwinMoE,
    SwinTransformer,
    SwinTransformer3D,
    SwinTransformerV2,
    SwinTransformerV2_3D,
)
COMPOSITE = [dict(type='swin_dense.SwinTransformer', arch=NARROW)] * 2


@pytest.fixture
def loads(monkeypatch):
    """Count the checkpoints that are loaded."""
    sources = []
    load = base.load_backbone

    def counted(model, source, **kwargs):
        sources.append(source)
        return load(model, source, **kwargs)

    monkeypatch.setattr(base, 'load_backbone', counted)
    return sources


@pytest.fixture
def saved(tmp_path):
    """Return a function that saves weights of a backbone."""

    def save(model):
        torch.save(model.state_dict(), tmp_path / 'weights.pth')
        return tmp_path / 'weights.pth'

    return save


def assert_same(model, other):
    weights = other.state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name]), name


@pytest.mark.parametrize('cls', CLASSES, ids=lambda cls: cls.__name__)
def test_weights_are_there_at_once(cls, saved, loads):
    arch = dict(NARROW, blocks=(1, 1, 1, 1)) if cls is MiniSwin else NARROW
    source = make(cls, arch)
    path = saved(source)
    model = cls(arch=arch, pretrained=path)
    assert_same(model, source)
    assert loads == [path] and model.is_init
    # A host calls it, on the backbone or on the model around.
    model.init_weights()
    detector = BaseModule()
    detector.backbone = model
    detector.init_weights()
    assert_same(model, source)
    assert loads == [path]


def test_an_address_as_text_and_a_subclass(saved, loads):
    class Mine(SwinTransformer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.more = nn.Linear(1, 1)

    class Around(nn.Module):
        def __init__(self, **kwargs):
            super().__init__()
            self.backbone = Mine(**kwargs)

    source = make(SwinTransformer)
    path = str(saved(source))
    assert_same(source, Mine(arch=NARROW, pretrained=path))
    # A module that a config builds may itself make one in Python.
    MODELS.register_module(module=Around)
    try:
        model = MODELS.build(dict(type='Around', arch=NARROW, pretrained=path))
    finally:
        MODELS.module_dict.pop('Around')
    assert_same(source, model.backbone)
    assert loads == [path, path]


def test_a_config_leaves_the_weights_to_init_weights(saved, loads):
    """A host that is going to load a whole checkpoint needs no file."""
    init_default_scope('mmengine')
    cfg = dict(type='swin_dense.SwinTransformer', arch=NARROW)
    MODELS.build(dict(cfg, pretrained='absent.pth'))
    source = make(SwinTransformer)
    model = MODELS.build(dict(cfg, pretrained=saved(source)))
    assert not loads and not model.is_init
    model.init_weights()
    model.init_weights()
    assert_same(model, source)
    assert len(loads) == 1


def test_weights_of_both_backbones(saved, loads):
    source = make(SwinTransformer)
    path = saved(source)
    model = CompositeBackbone(COMPOSITE, pretrained=path)
    assert_same(model.assistant, source)
    model.init_weights()
    assert loads == [path, path] and model.is_init
    own = [dict(COMPOSITE[0], pretrained=path), COMPOSITE[1]]
    model = CompositeBackbone(own)
    assert_same(model.assistant, source)
    assert len(loads) == 3


def test_an_absent_file_is_an_error_at_once():
    with pytest.raises(CheckpointError, match='absent.pth'):
        SwinTransformer(arch=NARROW, pretrained='absent.pth')
