"""Lets configs inherit those of installed packages without pkg_resources.

mmengine 0.10 resolves `_base_ = 'mmdet::...'` through pkg_resources, which
setuptools dropped in version 82, so that such a config ends in
`ModuleNotFoundError`. Here Python's own import system finds the package; so a
fork under another distribution name is found as well.

Remove this file once mmengine asks importlib itself.
"""

from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

import mmengine.config.config
import mmengine.utils.package_utils
from mmengine.config.utils import MODULE2PACKAGE

_MODULES = {package: module for module, package in MODULE2PACKAGE.items()}
_USERS = (mmengine.utils.package_utils, mmengine.utils, mmengine.config.config)


def is_installed(package: str) -> bool:
    """Whether a distribution or a module of this name is installed."""
    return _folder(package) is not None or _is_distribution(package)


def get_installed_path(package: str) -> str:
    """Folder of a package, by the name of its distribution or module.

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

    Does nothing when called again.
    """
    if find_spec('pkg_resources') is None:
        for user in _USERS:
            for function in (is_installed, get_installed_path):
                if hasattr(user, function.__name__):
                    setattr(user, function.__name__, function)


def _module(package: str) -> str:
    """What a distribution is imported as."""
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
