"""The standard library in the place of the back-port importlib_metadata."""

import importlib.metadata
import sys
from types import ModuleType

import pytest

from swin_dense.compat import back_port


def test_the_standard_library_serves_while_a_module_runs(monkeypatch):
    monkeypatch.setattr(back_port, 'is_importable', lambda name: False)
    monkeypatch.delitem(sys.modules, 'importlib_metadata', raising=False)
    with back_port.provide_back_port(ModuleType('user')):
        assert sys.modules['importlib_metadata'] is importlib.metadata
    assert 'importlib_metadata' not in sys.modules


def test_the_replacement_goes_when_the_module_fails(monkeypatch):
    monkeypatch.setattr(back_port, 'is_importable', lambda name: False)
    monkeypatch.delitem(sys.modules, 'importlib_metadata', raising=False)
    with pytest.raises(RuntimeError, match='the module failed'):
        with back_port.provide_back_port(ModuleType('user')):
            raise RuntimeError('the module failed')
    assert 'importlib_metadata' not in sys.modules


def test_an_installed_back_port_is_used(monkeypatch):
    installed = ModuleType('importlib_metadata')
    monkeypatch.setitem(sys.modules, 'importlib_metadata', installed)
    with back_port.provide_back_port(ModuleType('user')):
        assert sys.modules['importlib_metadata'] is installed
    assert sys.modules['importlib_metadata'] is installed
    assert back_port.find_obstacle() == 'importlib_metadata is installed'
