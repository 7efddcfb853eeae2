"""The description of a shim: why it exists, and when it is needed."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True)
class Shim:
    """A repair of another package that is applied when ours is imported.

    Attributes:
        name: Module of `swin_dense.compat` that holds the shim.
        reason: Why the shim exists, a sentence.
        removal: What makes the shim unnecessary, a sentence.
        symptom: Pattern of the errors that occur without the shim.
        install: Function that applies the shim; a second call does nothing.
        find_obstacle: Function that returns why the shim has nothing to do
            in this environment, or '' if it has.
    """

    name: str
    reason: str
    removal: str
    symptom: str
    install: Callable[[], None]
    find_obstacle: Callable[[], str]

    def explains(self, text: str) -> bool:
        """Return True if an error text is a symptom of this shim's absence."""
        return re.search(self.symptom, text) is not None


def is_importable(module: str) -> bool:
    """Return True if a top-level module is installed; import nothing."""
    try:
        return find_spec(module) is not None
    except ValueError:  # a stand-in without a specification
        return True


def require_any(*modules: str) -> str:
    """Return '' if any of the modules is installed, else that none is."""
    if any(map(is_importable, modules)):
        return ''
    verb = 'is' if len(modules) == 1 else 'are'
    return f'{" and ".join(modules)} {verb} not installed'
