"""Modules of other packages are mended at the moment they are imported."""

import importlib
import sys
from contextlib import contextmanager

import pytest

from swin_dense.compat.mending import MendingFinder, install


@contextmanager
def mend(module):
    """Provide a name that the module needs, and replace what it defines."""
    module.base = 1
    yield
    module.value += 10


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write the package `mended_package` with two modules of one content."""
    folder = tmp_path / 'mended_package'
    folder.mkdir()
    (folder / '__init__.py').write_text('')
    for name in ('mended', 'other'):
        (folder / f'{name}.py').write_text(
            'value = globals().get("base", 0) + 1\n'
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, 'meta_path', [*sys.meta_path])
    yield folder
    for name in [*sys.modules]:
        if name.partition('.')[0] == 'mended_package':
            del sys.modules[name]


def test_a_mend_is_open_while_the_module_runs(package):
    install({'mended_package.mended': mend})
    mended = importlib.import_module('mended_package.mended')
    assert mended.value == 12
    assert mended.__file__ == str(package / 'mended.py')
    assert importlib.import_module('mended_package.other').value == 1


def test_mends_of_several_calls_share_a_finder(monkeypatch):
    monkeypatch.setattr(sys, 'meta_path', [])
    install({'first': mend})
    install({'second': mend})
    install({'second': mend})
    (finder,) = sys.meta_path
    assert isinstance(finder, MendingFinder)
    assert finder.mends == {'first': mend, 'second': mend}


def test_an_absent_module_stays_absent(package):
    install({'mended_package.absent': mend})
    with pytest.raises(ModuleNotFoundError, match='mended_package.absent'):
        importlib.import_module('mended_package.absent')
