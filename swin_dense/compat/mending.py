"""Mends modules of other packages at the moment they are imported.

A mend is a context manager that gets the module and is open while its code
runs: what is missing is put in place before, what is wrong is replaced after.
Nothing is imported for it, and modules that nobody imports stay untouched.
"""

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

Mend = Callable[[ModuleType], AbstractContextManager[None]]


def install(mends: Mapping[str, Mend]) -> None:
    """Mend modules of these names at the moment they are imported.

    A second call does nothing.
    """
    for finder in sys.meta_path:
        if isinstance(finder, MendingFinder):
            finder.mends.update(mends)
            return
    sys.meta_path.insert(0, MendingFinder(mends))


class MendingFinder(MetaPathFinder):
    """Finds the modules to be mended where Python does, and mends them."""

    def __init__(self, mends: Mapping[str, Mend]) -> None:
        self.mends: dict[str, Mend] = dict(mends)

    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the specification of a mended module, for its name only."""
        if fullname not in self.mends:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = MendingLoader(
                fullname, spec.loader.path, self.mends[fullname]
            )
        return spec


class MendingLoader(SourceFileLoader):
    """Runs a module within its mend."""

    def __init__(self, fullname: str, path: str, mend: Mend) -> None:
        super().__init__(fullname, path)
        self.mend = mend

    def exec_module(self, module: ModuleType) -> None:
        """Run the module."""
        with self.mend(module):
            super().exec_module(module)
