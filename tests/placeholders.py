"""Importing a package of which only some parts can be had here."""
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class Placeholders(MetaPathFinder, Loader):
    """While it is entered, these modules import and hold nothing.

    Whatever is asked of them is an empty class. Afterwards they are gone, so
    that no one else takes them for the real ones.
    """

    def __init__(self, *names):
        self.names = names

    def __enter__(self):
        sys.meta_path.insert(0, self)
        return self

    def __exit__(self, *error):
        sys.meta_path.remove(self)
        for name in [name for name in sys.modules if self.covers(name)]:
            del sys.modules[name]

    def covers(self, name):
        """Whether a module, or a package that it is in, is one of these."""
        return any(name == mine or name.startswith(f'{mine}.')
                   for mine in self.names)

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
