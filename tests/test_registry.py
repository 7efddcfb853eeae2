import sys

import pytest

from swin_dense.registry import MODELS, _LazyRegistry


@pytest.mark.parametrize('name', ['Late', 'swin_dense.Late'])
def test_a_module_is_imported_when_its_type_is_looked_up(monkeypatch, name):
    imported = []

    def import_module(module):
        imported.append(module)
        registry.register_module('Late', force=True, module=int)

    monkeypatch.setattr('swin_dense.registry.import_module', import_module)
    registry = _LazyRegistry(
        'test', scope='swin_dense', modules_by_type=dict(Late='late.module')
    )
    assert registry.get('Early') is None and imported == []
    assert registry.get(name) is int
    assert imported == ['swin_dense.late.module']


def test_backbones_are_found_without_custom_imports():
    assert MODELS.get('SwinTransformer').__name__ == 'SwinTransformer'
    assert 'swin_dense.backbones' in sys.modules
