"""Lets configs inherit configs of installed packages without pkg_resources.

mmengine 0.10 resolves `_base_ = 'mmdet::...'` through pkg_resources, which
setuptools dropped in version 82, so that reading the config raises
`ModuleNotFoundError`. Here Python's own import system finds the package, also
a fork under another distribution name.

Remove this file once mmengine asks importlib itself.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from swin_dense.compat import mending
from swin_dense.compat.shim import Shim, is_importable

# Distributions that are imported under another name.
_MODULES = {'mmsegmentation': 'mmseg', 'mmaction2': 'mmaction'}
_LOOKUP = 'mmengine.utils.package_utils'
# Modules that import the functions from there.
_USERS = ('mmengine.utils', 'mmengine.config.config', 'mmengine.hub.hub')


def is_installed(package: str) -> bool:
    """Return True if a distribution or a module of this name is installed."""
    return _folder(package) is not None or _is_distribution(package)


def get_installed_path(package: str) -> str:
    """Return the folder of a package, by its distribution or module name.

    Raises:
        ModuleNotFoundError: If no such package can be imported.
    """
    folder = _folder(package)
    if folder is None:
        raise ModuleNotFoundError(
            f'{package} is not installed: expected a package that can be '
            f'imported as {_module(package)}; install it'
        )
    return str(folder)


def install() -> None:
    """Replace mmengine's two functions where pkg_resources is missing.

    They are replaced now or when they are imported. A second call does
    nothing.
    """
    if find_obstacle():
        return
    for name in (_LOOKUP, *_USERS):
        if name in sys.modules:
            _replace_functions(sys.modules[name])
    mending.install({_LOOKUP: provide_functions})


@contextmanager
def provide_functions(module: ModuleType) -> Iterator[None]:
    """Replace both functions of a module once it has run."""
    yield
    _replace_functions(module)


def _replace_functions(module: ModuleType) -> None:
    for function in (is_installed, get_installed_path):
        if hasattr(module, function.__name__):
            setattr(module, function.__name__, function)


def _module(package: str) -> str:
    """Return the name by which a distribution is imported."""
    return _MODULES.get(package, package.replace('-', '_'))


def _folder(package: str) -> Path | None:
    spec = find_spec(_module(package))
    return Path(spec.origin).parent if spec and spec.origin else None


def _is_distribution(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def find_obstacle() -> str:
    """Return why mmengine's own lookup serves here, or ''."""
    return (
        'pkg_resources is installed' if is_importable('pkg_resources') else ''
    )


SHIM = Shim(
    name='package_lookup',
    reason="mmengine 0.10 resolves `_base_ = 'mmdet::...'` by pkg_resources, "
    'which setuptools 82 and later do not have.',
    removal='Install setuptools below 82, or an mmengine that asks importlib.',
    symptom=r"No module named 'pkg_resources'",
    install=install,
    find_obstacle=find_obstacle,
)
