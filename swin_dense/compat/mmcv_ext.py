"""Stands in for `mmcv._ext`, the compiled half of mmcv, where it is missing.

mmcv-lite ships mmcv's Python wrappers without the compiled operators that
they call, and compiling mmcv needs a compiler that matches PyTorch, and CUDA.
`install` makes `import mmcv._ext` succeed nevertheless: the operators that
models of the hosts need are served by torchvision where it imports, else by
plain PyTorch (`swin_dense.compat.operators`). Any other operator raises when
it is called, and the error says what to install.

A compiled mmcv always wins: Python asks the finder installed here last.
"""

import importlib
import sys
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from swin_dense.compat.shim import Shim, is_importable

NAME = 'mmcv._ext'
ENTRY_POINTS = (
    'swin_dense.compat.mmcv_operators',
    'swin_dense.compat.mmcv_model_operators',
)


def install() -> None:
    """Serve `mmcv._ext` from here when nothing else does.

    Imports nothing; a second call does nothing.
    """
    if not any(isinstance(finder, ExtFinder) for finder in sys.meta_path):
        sys.meta_path.append(ExtFinder())


class ExtFinder(MetaPathFinder):
    """Finds the stand-in under the name of the compiled module."""

    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the specification of the stand-in; None for other names."""
        if fullname != NAME:
            return None
        return ModuleSpec(fullname, ExtLoader(), origin=__name__)


class ExtLoader(Loader):
    """Loads the stand-in."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the empty stand-in."""
        return ExtModule(spec.name, 'Served by swin_dense.compat.mmcv_ext.')

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module empty; its operators are looked up on access."""


class ExtModule(ModuleType):
    """A module in which every operator of mmcv can be looked up.

    mmcv's wrappers look up all of their operators when they are imported, so
    the lookup of an operator that is not served succeeds; calling it raises.
    """

    def __getattr__(self, name: str) -> Callable:
        if name.startswith('_'):
            raise AttributeError(f'module {NAME!r} has no attribute {name!r}')
        for module in ENTRY_POINTS:
            served = importlib.import_module(module).SERVED
            if name in served:
                return served[name]
        return _refusal(name)


def _refusal(name: str) -> Callable:
    """Return a function that raises when called as operator `name`."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(
            f'the mmcv operator {name!r} was called, but no compiled mmcv is '
            'installed, and swin_dense serves only the operators that models '
            'of mmdet, mmsegmentation and mmaction2 need. Install a compiled '
            'mmcv in place of mmcv-lite: `pip uninstall mmcv-lite`, then '
            '`pip install mmcv==2.1.0 --no-build-isolation` to build it '
            '(needs a compiler), or `pip install onedl-mmcv` for the wheels '
            'of the maintained fork.'
        )

    refuse.__name__ = refuse.__qualname__ = name
    return refuse


def find_obstacle() -> str:
    """Return why no operators have to be served here, or ''."""
    spec = find_spec('mmcv') if is_importable('mmcv') else None
    if spec is None:
        return 'mmcv is not installed'
    if PathFinder.find_spec(NAME, spec.submodule_search_locations):
        return 'the installed mmcv is compiled'
    return ''


SHIM = Shim(
    name='mmcv_ext',
    reason='mmcv-lite has no compiled operators (NMS, RoIAlign, ...), which '
    'the models of mmdet, mmsegmentation and mmaction2 call.',
    removal='Install a compiled mmcv 2.1 (or onedl-mmcv) in place of '
    'mmcv-lite.',
    symptom=r'mmcv\._ext',
    install=install,
    find_obstacle=find_obstacle,
)
