"""Import a package whose requirements are only partly installed."""

import importlib.metadata
import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

import pytest

# Parts of the hosts that backbones do not need.
_REST = dict(
    timm=('timm.data',),
    mmpretrain=(
        'mmpretrain.apis',
        'mmpretrain.datasets',
        'mmpretrain.evaluation',
        'mmpretrain.models.multimodal',
    ),
)


def partly(module):
    """Return a module of timm or mmpretrain, or skip the test.

    Both want torchvision, and mmpretrain more, for parts other than their
    backbones. These are replaced while they are imported; torchvision only
    where it is not installed: it registers operators, which it can do once in
    a process, and others may hold parts of it.
    """
    if module in sys.modules:
        return sys.modules[module]
    package = module.partition('.')[0]
    if find_spec(package) is None:
        pytest.skip(f'{package} is not installed')
    if find_spec('transformers'):  # it must not meet the placeholders
        from transformers import AutoConfig, PreTrainedModel  # noqa: F401
    rest = _REST[package]
    if find_spec('torchvision') is None:
        rest += ('torchvision',)
    with Placeholders(*rest), pytest.MonkeyPatch.context() as patch:
        # The back-port that mmpretrain asks for.
        patch.setitem(sys.modules, 'importlib_metadata', importlib.metadata)
        return import_module(module)


class Placeholders(MetaPathFinder, Loader):
    """A context in which these modules can be imported, and are empty.

    Whatever is asked of them is an empty class. Afterwards they are gone, so
    that no one else takes them for the real ones. Those that were imported
    before stay as they are.
    """

    def __init__(self, *names):
        self.names = names

    def __enter__(self):
        sys.meta_path.insert(0, self)
        return self

    def __exit__(self, *error):
        sys.meta_path.remove(self)
        for name, module in list(sys.modules.items()):
            if isinstance(module, Placeholder):
                del sys.modules[name]

    def covers(self, name):
        """Return True if a module, or a package above it, is covered."""
        return any(
            name == covered or name.startswith(f'{covered}.')
            for covered in self.names
        )

    def find_spec(self, name, path=None, target=None):
        """Return the specification of a covered module."""
        if self.covers(name):
            return ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        """Make an empty module."""
        return Placeholder(spec.name)

    def exec_module(self, module):
        """Leave it empty."""


class Placeholder(ModuleType):
    """A module in which every name is an empty class."""

    def __getattr__(self, name):
        if name.startswith('__'):
            raise AttributeError(name)
        return type(name, (), {})
