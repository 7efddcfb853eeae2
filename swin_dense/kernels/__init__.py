"""How the arithmetic of the model is carried out.

Each set of kernels is a module or package of this folder; see `interface` for
what it defines. One function chooses: `choose`. To overrule it, use
`with kernels.use('plain')` or the environment variable `SWIN_DENSE_KERNELS`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec

from torch import Tensor

from swin_dense.kernels.interface import AttentionTerms, Kernels
from swin_dense.kernels.plain import PlainKernels, attend
from swin_dense.ops import SizeCache, is_traced

__all__ = [
    'AttentionTerms',
    'Kernels',
    'PlainKernels',
    'attend',
    'available',
    'choose',
    'use',
]

VARIABLE = 'SWIN_DENSE_KERNELS'
# The first that works on a tensor is chosen.
_ORDER = ('triton', 'cpu', 'plain')

# Name of a set, or a set that is not registered.
Request = str | type[Kernels]
_requested: ContextVar[Request | None] = ContextVar('requested', default=None)


@lru_cache(maxsize=1)
def available() -> dict[str, type[Kernels]]:
    """Return the sets of kernels that are installed, by name, best first."""
    names = [name for name in _ORDER if find_spec(f'{__name__}.{name}')]
    return {
        name: import_module(f'{__name__}.{name}').KERNELS for name in names
    }


@contextmanager
def use(name: Request) -> Iterator[None]:
    """Let `choose` choose a set of kernels, or `auto`, inside of a block.

    A class is used without a question and without a line in the log. The
    backward pass of a recomputed block repeats the choice of its forward
    pass.

    Raises:
        ValueError: If there is no such set.
    """
    if isinstance(name, str):
        _check(name, 'kernels.use')
    token = _requested.set(name)
    try:
        yield
    finally:
        _requested.reset(token)


def choose(x: Tensor, cache: SizeCache | None = None) -> Kernels:
    """Choose the kernels for a forward pass.

    While a compiler or tracer runs, these are always the plain ones, since it
    would unroll the loops of others.

    Args:
        x: The map that the first stage takes.
        cache: Keeps masks and indices for later passes; a new one by default.

    Raises:
        ValueError: If the kernels that were asked for do not exist, or do not
            work on this tensor.
    """
    cache = SizeCache() if cache is None else cache
    if is_traced():
        return PlainKernels(cache)
    name, origin = _requested.get(), 'kernels.use'
    if isinstance(name, type):
        return name(cache)
    if name is None:
        name, origin = os.environ.get(VARIABLE) or 'auto', VARIABLE
    _check(name, origin)
    place = f'{x.dtype} on {x.device.type}'.removeprefix('torch.')
    if name != 'auto':
        kernels = available()[name]
        reason = kernels.refuses(x)
        if reason:
            raise ValueError(
                f'{origin} asks for the kernels {name!r}, which do not work '
                f'here: {reason}. Ask for "plain", or for "auto"'
            )
        _log(f'kernels: {name} ({place}), as {origin} asks for')
        return kernels(cache)
    refusals: list[str] = []
    for name, kernels in available().items():
        reason = kernels.refuses(x)
        if reason is None:
            because = ''.join(f'; not {refusal}' for refusal in refusals)
            _log(f'kernels: {name} ({place}){because}')
            return kernels(cache)
        refusals.append(f'{name}: {reason}')
    raise AssertionError('plain kernels refuse nothing')


def _check(name: str, origin: str) -> None:
    if name != 'auto' and name not in available():
        raise ValueError(
            f'{origin} must be one of {", ".join(available())} '
            f'or auto, got {name!r}'
        )


@lru_cache(maxsize=64)
def _log(message: str) -> None:
    """Log a choice, once."""
    from mmengine.logging import MMLogger

    MMLogger.get_current_instance().info(message)
