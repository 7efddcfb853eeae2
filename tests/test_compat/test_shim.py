"""The list of shims, and the variable that switches them off."""

import importlib
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from swin_dense import compat
from swin_dense.compat import (
    back_port,
    mmaction_imports,
    mmcv_ext,
    mmdet_checkpointing,
    package_lookup,
)
from swin_dense.engine import cli

# Finders of ours, and mmengine's function that is replaced.
STATE = """
import sys, swin_dense, mmengine.utils
print(sorted(type(finder).__name__ for finder in sys.meta_path
             if type(finder).__module__.startswith('swin_dense')))
print(mmengine.utils.is_installed.__module__)
"""


def run_python(*args, choice=None):
    env = {k: v for k, v in os.environ.items() if k != compat.VARIABLE}
    if choice is not None:
        env[compat.VARIABLE] = choice
    return subprocess.run(
        [sys.executable, '-W', 'ignore', *args],
        capture_output=True,
        text=True,
        env=env,
    )


@pytest.mark.parametrize(
    'choice, finders, is_replaced',
    [
        (
            None,
            ['DRNFinder', 'ExtFinder', 'LoadingFinder', 'MendingFinder'],
            True,
        ),
        ('0', [], False),
        (
            'mmcv_ext, config_lookup',
            ['ExtFinder', 'MendingFinder'],
            False,
        ),
    ],
)
def test_the_variable_chooses_shims(choice, finders, is_replaced):
    done = run_python('-c', STATE, choice=choice)
    names, module = done.stdout.splitlines()
    assert names == str(finders), done.stderr
    is_replaced = is_replaced and not find_spec('pkg_resources')
    assert module == (
        'swin_dense.compat.package_lookup'
        if is_replaced
        else 'mmengine.utils.package_utils'
    )


def test_an_unknown_shim_is_refused(monkeypatch):
    monkeypatch.setenv(compat.VARIABLE, 'mmcv')
    with pytest.raises(ValueError) as caught:
        compat.apply()
    message = str(caught.value)
    assert message.startswith(
        "SWIN_DENSE_COMPAT=mmcv: there is no shim 'mmcv'. Set 0 to apply none"
    )
    for shim in compat.SHIMS:
        assert shim.name in message


def test_the_module_lists_every_shim(monkeypatch):
    done = run_python('-m', 'swin_dense.compat', choice='0')
    assert done.returncode == 0 and not done.stderr
    blocks = [line for line in done.stdout.splitlines() if line[:1].isalpha()]
    # The last line says how to switch.
    assert blocks[:-1] == [
        f'{shim.name} (not active: switched off by SWIN_DENSE_COMPAT=0)'
        for shim in compat.SHIMS
    ]
    for shim in compat.SHIMS:
        assert f'  why:    {shim.reason}\n' in done.stdout
        assert f'  remove: {shim.removal}\n' in done.stdout
    # No environment makes this one unnecessary.
    monkeypatch.delenv(compat.VARIABLE, raising=False)
    assert 'weights_only (active)' in compat.describe_shims().splitlines()


def test_every_module_with_a_shim_is_listed():
    folder = Path(compat.__file__).parent
    named = {
        path.stem
        for path in folder.glob('*.py')
        if '\nSHIM = Shim(' in path.read_text()
    }
    assert named == {shim.name for shim in compat.SHIMS}
    for shim in compat.SHIMS:
        module = importlib.import_module(f'swin_dense.compat.{shim.name}')
        assert module.SHIM is shim and module.install is shim.install


def test_states_without_need(monkeypatch):
    """`find_obstacle` says why a shim has nothing to do."""
    installed = {'mmdet': True, 'fairscale': True, 'pkg_resources': True}

    def is_importable(name):
        return installed.get(name, False)

    for module in (back_port, mmdet_checkpointing, package_lookup):
        monkeypatch.setattr(module, 'is_importable', is_importable)
    assert package_lookup.find_obstacle() == 'pkg_resources is installed'
    assert mmdet_checkpointing.find_obstacle() == 'fairscale is installed'
    installed['importlib_metadata'] = True
    assert back_port.find_obstacle() == 'importlib_metadata is installed'
    installed.clear()
    assert package_lookup.find_obstacle() == ''
    for module in (mmcv_ext, mmaction_imports):
        monkeypatch.setattr(module, 'is_importable', is_importable)
    assert mmcv_ext.find_obstacle() == 'mmcv is not installed'
    assert mmaction_imports.find_obstacle() == 'mmaction is not installed'


def test_a_compiled_mmcv_leaves_nothing_to_do(tmp_path, monkeypatch):
    package = tmp_path / 'mmcv'
    package.mkdir()
    (package / '_ext.py').touch()
    spec = SimpleNamespace(submodule_search_locations=[str(package)])
    monkeypatch.setattr(mmcv_ext, 'is_importable', lambda name: True)
    monkeypatch.setattr(mmcv_ext, 'find_spec', lambda name: spec)
    assert mmcv_ext.find_obstacle() == 'the installed mmcv is compiled'
    (package / '_ext.py').unlink()
    assert mmcv_ext.find_obstacle() == ''


@pytest.mark.parametrize(
    'error, name',
    [
        ("No module named 'mmcv._ext'", 'mmcv_ext'),
        ("No module named 'importlib_metadata'", 'back_port'),
        (
            "No module named 'mmaction.models.localizers.drn'",
            'mmaction_imports',
        ),
        ("No module named 'pkg_resources'", 'package_lookup'),
        ('Weights only load failed. This file can still', 'weights_only'),
        (
            'mmengine does not support to load swin_dense config.',
            'config_lookup',
        ),
    ],
)
def test_a_tool_names_the_shim_that_an_error_needs(
    error, name, monkeypatch, capsys
):
    def fail(args):
        try:
            raise ImportError(error)
        except ImportError as cause:
            raise ValueError('the model cannot be built') from cause

    arguments = SimpleNamespace(debug=False)
    monkeypatch.setenv(compat.VARIABLE, '0')
    assert cli.run(fail, arguments) == 1
    assert (
        f'SWIN_DENSE_COMPAT=0 switches off {name}, which would prevent this '
        'error' in capsys.readouterr().err
    )
    monkeypatch.delenv(compat.VARIABLE)
    assert cli.run(fail, arguments) == 1
    assert 'SWIN_DENSE_COMPAT' not in capsys.readouterr().err


def test_an_import_without_shims_fails_as_listed():
    """The errors of the hosts match the symptoms of the shims."""
    pytest.importorskip('mmdet')
    if mmcv_ext.find_obstacle():
        pytest.skip('the installed mmcv is compiled')
    code = (
        'import swin_dense\nfrom swin_dense.compat import explain_error\n'
        'try:\n    import mmcv.ops\n'
        'except ImportError as error:\n    print(explain_error(str(error)))'
    )
    done = run_python('-c', code, choice='0')
    assert 'switches off mmcv_ext, which would' in done.stdout, done.stderr
