"""Configs that inherit those of an installed package."""

import subprocess
import sys
from importlib.util import find_spec

import mmengine.utils
import pytest
from mmengine.config import Config

from swin_dense.compat import package_lookup as shim

# In a process of its own: without the stand-in, and with a module that must
# not be in the way of others.
WITHOUT_PKG_RESOURCES = """
import sys
sys.modules['pkg_resources'] = None
from swin_dense.compat import package_lookup
package_lookup.install()
from mmengine.config import Config
print(Config.fromfile(sys.argv[1]).model.type)
"""


def test_a_config_of_an_installed_package_is_inherited(tmp_path):
    pytest.importorskip('mmdet', reason='inherits a config of mmdet')
    path = tmp_path / 'leaf.py'
    path.write_text(
        "_base_ = 'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'"
        '\nmodel = dict(bbox_head=dict(num_classes=3))\n'
    )
    cfg = Config.fromfile(path)
    assert (cfg.model.type, cfg.model.bbox_head.num_classes) == (
        'RetinaNet',
        3,
    )
    run = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', WITHOUT_PKG_RESOURCES, path],
        capture_output=True,
        text=True,
    )
    assert run.stdout == 'RetinaNet\n', run.stderr


def test_folders_and_names():
    folder = mmengine.__path__[0]
    assert shim.get_installed_path('mmengine') == folder
    assert shim.is_installed('mmengine')
    # A distribution that is imported under another name.
    assert shim.is_installed('mmcv-lite') or not find_spec('mmcv')
    assert not shim.is_installed('mmnothing')
    with pytest.raises(
        ModuleNotFoundError,
        match='mmnothing is not installed:.* imported as mmnothing',
    ):
        shim.get_installed_path('mmnothing')


def test_a_fork_is_found_by_its_module(tmp_path, monkeypatch):
    # As onedl-mmsegmentation installs mmseg.
    (tmp_path / 'mmtrack').mkdir()
    (tmp_path / 'mmtrack' / '__init__.py').touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(shim._MODULES, 'mmtracking', 'mmtrack')
    assert shim.is_installed('mmtracking')
    assert shim.get_installed_path('mmtracking') == str(tmp_path / 'mmtrack')


def test_mmengine_keeps_its_functions_where_they_work(monkeypatch):
    monkeypatch.setattr(mmengine.utils, 'is_installed', 'its own')
    monkeypatch.setattr(shim, 'is_importable', lambda name: True)
    shim.install()
    assert mmengine.utils.is_installed == 'its own'
    monkeypatch.setattr(shim, 'is_importable', lambda name: False)
    shim.install()
    assert mmengine.utils.is_installed is shim.is_installed
