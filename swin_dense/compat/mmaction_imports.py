"""Mends what the mmaction2 1.2.0 wheel lacks, so that its models import.

- `mmaction.models.localizers.drn`, a package that its build left out and that
  `mmaction.models` imports. The stand-in registers a DRN that says so when it
  is built.
- VindLU, its multimodal models. They import whenever `transformers` is
  installed, and fail with a `transformers` of today. Then they are replaced by
  what mmaction2 itself puts in their place without `transformers`: entries of
  the registry that raise when they are built.

A wheel that has these parts, or can import them, is left as it is. Remove this
file once such a wheel is published.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from swin_dense.compat import mending

DRN = 'mmaction.models.localizers.drn'
VINDLU = 'mmaction.models.multimodal.vindlu'


def install() -> None:
    """Mend mmaction2 when it is imported, if it is.

    Imports nothing, and does nothing when called again.
    """
    mending.install({VINDLU: forgive_vindlu})
    if not any(isinstance(finder, DRNFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, DRNFinder())


@contextmanager
def forgive_vindlu(module: ModuleType) -> Iterator[None]:
    """Put refusals in the place of what cannot be imported."""
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
    """Finds the missing package, and the module of the same name in it."""

    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the specification of the stand-in, for its names only."""
        if fullname not in (DRN, f'{DRN}.drn'):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        return spec or ModuleSpec(
            fullname, DRNLoader(), origin=__name__, is_package=True
        )


class DRNLoader(Loader):
    """Fills in for the package and for the module of the same name in it."""

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
    """Put a function that raises into mmaction2's registry of models."""
    from mmaction.registry import MODELS

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise ImportError(f'{name} cannot be built: {reason}')

    refuse.__name__ = refuse.__qualname__ = name
    MODELS.register_module(name=name, module=refuse, force=True)
    return refuse
