"""Serves `importlib_metadata` to mmaction2 and mmpretrain.

Both import that back-port of the standard library without requiring it. While
the modules concerned run, the standard library's `importlib.metadata` takes
its place; nobody else sees that. An installed back-port is used as it is.

Remove this file once both ask the standard library.
"""

import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType

from swin_dense.compat import mending

BACK_PORT = 'importlib_metadata'
USERS = ('mmaction.utils.dependency', 'mmpretrain.utils.dependency')


def install() -> None:
    """Mend the modules when they are imported, if they are."""
    mending.install({name: provide_back_port for name in USERS})


@contextmanager
def provide_back_port(module: ModuleType) -> Iterator[None]:
    """Let the standard library be the back-port while a module runs."""
    if find_spec(BACK_PORT) is not None:
        yield
        return
    sys.modules[BACK_PORT] = importlib.metadata
    try:
        yield
    finally:
        del sys.modules[BACK_PORT]
