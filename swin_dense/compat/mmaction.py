"""Mends what the mmaction2 1.2.0 wheel lacks, so that its models import.

- `mmaction.models.localizers.drn`, a package that its build left out and that
  `mmaction.models` imports. The stand-in registers a DRN that says so when it
  is built.
- `importlib_metadata`, a back-port that it imports without requiring it. It
  gets the standard library's `importlib.metadata`; nobody else sees that.
- VindLU, its multimodal models. They import whenever `transformers` is
  installed, and fail with a `transformers` of today. Then they are replaced by
  what mmaction2 itself puts in their place without `transformers`: entries of
  the registry that raise when they are built.

A wheel that has these parts, or can import them, is left as it is. Remove this
file once such a wheel is published.
"""
import importlib.metadata
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Callable, Optional

BACK_PORT = 'importlib_metadata'
DEPENDENCY = 'mmaction.utils.dependency'
DRN = 'mmaction.models.localizers.drn'
VINDLU = 'mmaction.models.multimodal.vindlu'


def install() -> None:
    """Mend mmaction2 when it is imported, if it is.

    Imports nothing, and does nothing when called again.
    """
    if not any(isinstance(finder, MendingFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, MendingFinder())


class MendingFinder(MetaPathFinder):
    """Finds the modules to be mended as Python would, and mends them."""

    def find_spec(self,
                  fullname: str,
                  path: Any = None,
                  target: Optional[ModuleType] = None) -> Optional[ModuleSpec]:
        """Return the specification of a mended module, for its name only."""
        if fullname not in (DEPENDENCY, DRN, f'{DRN}.drn', VINDLU):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None and fullname.startswith(DRN):
            return ModuleSpec(
                fullname, DRNLoader(), origin=__name__, is_package=True)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            if fullname == DEPENDENCY:
                spec.loader = DependencyLoader(fullname, spec.loader.path)
            elif fullname == VINDLU:
                spec.loader = VindLULoader(fullname, spec.loader.path)
        return spec


class DRNLoader(Loader):
    """Fills in for the package and for the module of the same name in it."""

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave the creation to Python."""

    def exec_module(self, module: ModuleType) -> None:
        """Register a DRN that raises when it is built."""
        if module.__name__ != DRN:
            module.DRN = _register_refusal(  # type: ignore[attr-defined]
                'DRN', 'its code is missing from the wheel of mmaction2 '
                '1.2.0. Install mmaction2 from its repository instead: `pip '
                'install git+https://github.com/open-mmlab/mmaction2`.')


class DependencyLoader(SourceFileLoader):
    """Runs a module for which the standard library is the back-port."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module."""
        if find_spec(BACK_PORT) is not None:
            super().exec_module(module)
            return
        sys.modules[BACK_PORT] = importlib.metadata
        try:
            super().exec_module(module)
        finally:
            del sys.modules[BACK_PORT]


class VindLULoader(SourceFileLoader):
    """Runs the package of VindLU, or puts refusals in its place."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module."""
        try:
            super().exec_module(module)
        except ImportError as error:
            for name in ('VindLUVQA', 'VindLURetrievalMC', 'VindLURetrieval'):
                _register_refusal(
                    name, 'mmaction2 1.2.0 was written for transformers 4.28 '
                    'and timm of that time; with what is installed its import '
                    f'ends in {type(error).__name__}: {error}')


def _register_refusal(name: str, reason: str) -> Callable:
    """Put a function that raises into mmaction2's registry of models."""
    from mmaction.registry import MODELS

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise ImportError(f'{name} cannot be built: {reason}')

    refuse.__name__ = refuse.__qualname__ = name
    MODELS.register_module(name=name, module=refuse, force=True)
    return refuse
