"""Serves `importlib_metadata` to mmaction2 and mmpretrain.

Both import that back-port of the standard library without requiring it. While
the modules concerned run, the standard library's `importlib.metadata` takes
its place; no other module sees the replacement. An installed back-port is
used as it is.

Remove this file once both ask the standard library.
"""

import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from swin_dense.compat import mending
from swin_dense.compat.shim import Shim, is_importable, require_any

BACK_PORT = 'importlib_metadata'
USERS = ('mmaction.utils.dependency', 'mmpretrain.utils.dependency')


def install() -> None:
    """Mend the importing modules at the moment they are imported."""
    mending.install({name: provide_back_port for name in USERS})


@contextmanager
def provide_back_port(module: ModuleType) -> Iterator[None]:
    """Let the standard library be the back-port while a module runs."""
    if is_importable(BACK_PORT):
        yield
        return
    sys.modules[BACK_PORT] = importlib.metadata
    try:
        yield
    finally:
        del sys.modules[BACK_PORT]


def find_obstacle() -> str:
    """Return why no back-port has to be served, or ''."""
    if is_importable(BACK_PORT):
        return f'{BACK_PORT} is installed'
    return require_any('mmaction', 'mmpretrain')


SHIM = Shim(
    name='back_port',
    reason='mmaction2 1.2 and mmpretrain 1.2 import importlib_metadata, which '
    'they do not declare as a requirement.',
    removal='Install importlib_metadata, or releases of both that import '
    "Python's own importlib.metadata.",
    symptom=rf"No module named '{BACK_PORT}'",
    install=install,
    find_obstacle=find_obstacle,
)
