"""Supplies modules missing from the mmaction2 1.2.0 wheel.

- `mmaction.models.localizers.drn`, a package that its build left out and that
  `mmaction.models` imports. The stand-in registers a DRN that says so when it
  is built.
- VindLU, its multimodal models. mmaction2 imports them whenever
  `transformers` is installed, which fails with its recent releases. Then
  they are replaced by what mmaction2 itself registers without `transformers`:
  entries of the registry that raise when they are built.

A wheel that has the first, or can import the second, is left as it is. Remove
this file once such a wheel is published.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from swin_dense.compat import mending
from swin_dense.compat.shim import Shim, is_importable

DRN = 'mmaction.models.localizers.drn'
VINDLU = 'mmaction.models.multimodal.vindlu'


def install() -> None:
    """Mend mmaction2 at the moment it is imported.

    Imports nothing; a second call does nothing.
    """
    mending.install({VINDLU: forgive_vindlu})
    if not any(isinstance(finder, DRNFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, DRNFinder())


@contextmanager
def forgive_vindlu(module: ModuleType) -> Iterator[None]:
    """Register models that refuse to be built if VindLU's import fails."""
    try:
        yield
    except ImportError as error:
        for name in ('VindLUVQA', 'VindLURetrievalMC', 'VindLURetrieval'):
            _register_refusal(
                name,
                'mmaction2 1.2.0 was written for transformers 4.28 '
                'and timm of that time; with what is installed its import '
                f'ends in {type(error).__name__}: {error}',
            )


class DRNFinder(MetaPathFinder):
    """Finds a stand-in for the missing package and its one module."""

    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the specification of the stand-in; None for other names."""
        if fullname not in (DRN, f'{DRN}.drn'):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        return spec or ModuleSpec(
            fullname, DRNLoader(), origin=__name__, is_package=True
        )


class DRNLoader(Loader):
    """Loads the stand-in for the package and its one module."""

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave the creation to Python."""

    def exec_module(self, module: ModuleType) -> None:
        """Register a DRN that raises when it is built."""
        if module.__name__ != DRN:
            module.DRN = _register_refusal(  # type: ignore[attr-defined]
                'DRN',
                'its code is missing from the wheel of mmaction2 '
                '1.2.0. Install mmaction2 from its repository instead: `pip '
                'install git+https://github.com/open-mmlab/mmaction2`.',
            )


def _register_refusal(name: str, reason: str) -> Callable:
    """Register a function that raises among mmaction2's models."""
    from mmaction.registry import MODELS

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise ImportError(f'{name} cannot be built: {reason}')

    refuse.__name__ = refuse.__qualname__ = name
    MODELS.register_module(name=name, module=refuse, force=True)
    return refuse


def find_obstacle() -> str:
    """Return why mmaction2 needs no mending here, or ''."""
    spec = find_spec('mmaction') if is_importable('mmaction') else None
    if spec is None or spec.origin is None:
        return 'mmaction is not installed'
    has_drn = Path(spec.origin, '../models/localizers/drn').resolve().exists()
    if has_drn and not is_importable('transformers'):
        return 'the installed mmaction2 has all of its models'
    return ''


SHIM = Shim(
    name='mmaction_imports',
    reason='The wheel of mmaction2 1.2 lacks a package that its models '
    'import (DRN), and its VindLU cannot be imported with recent releases of '
    'transformers.',
    removal='Install an mmaction2 whose wheel has mmaction.models.localizers.'
    'drn and whose VindLU imports with the installed transformers.',
    symptom=r'mmaction\.models\.localizers\.drn|apply_chunking_to_forward',
    install=install,
    find_obstacle=find_obstacle,
)
