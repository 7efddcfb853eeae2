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

import torch
from torch import Tensor

from swin_dense.kernels.interface import AttentionTerms, Kernels
from swin_dense.kernels.log import log_once
from swin_dense.kernels.plain import (
    PlainKernels,
    attend,
    attention_weights,
)
from swin_dense.ops import SizeCache, is_exported, is_traced

__all__ = [
    'AttentionTerms',
    'Kernels',
    'PlainKernels',
    'attend',
    'attention_weights',
    'available',
    'choose',
    'use',
]

VARIABLE = 'SWIN_DENSE_KERNELS'
# The first that is for the tensor's device and works on it is chosen.
_ORDER = ('triton', 'cuda', 'cpu', 'plain')

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

    An exporter or tracer gets the plain ones, since it would unroll the loops
    of others. So does a compiler, unless the set that would be chosen can be
    compiled.

    Args:
        x: The map that the first stage takes.
        cache: Keeps masks and indices for later passes; a new one by default.

    Raises:
        ValueError: If the kernels that were asked for do not exist, or do not
            work on this tensor.
    """
    cache = SizeCache() if cache is None else cache
    if is_exported():
        return PlainKernels(cache)
    if is_traced():
        return _choose_while_compiling(x.device, x.dtype)(cache)
    return _choose(x)(cache)


def _choose_while_compiling(
    device: torch.device, dtype: torch.dtype
) -> type[Kernels]:
    """Choose by device and type, which the compiler does not look into."""
    return _choose(torch.empty(0, device=device, dtype=dtype), True)


# As `torch.compiler.assume_constant_result` does, which imports the compiler.
_choose_while_compiling._dynamo_marked_constant = True  # type: ignore


def _choose(x: Tensor, is_compiled: bool = False) -> type[Kernels]:
    name, origin = _requested.get(), 'kernels.use'
    if isinstance(name, type):
        return name
    if name is None:
        name, origin = os.environ.get(VARIABLE) or 'auto', VARIABLE
    _check(name, origin)
    place = f'{x.dtype} on {x.device.type}'.removeprefix('torch.')
    place += ', compiled' * is_compiled
    if name != 'auto':
        kernels = available()[name]
        if is_compiled and not kernels.can_be_compiled:
            log_once(f'kernels: plain ({place}); {name} cannot be compiled')
            return PlainKernels
        reason = kernels.refuses(x)
        if reason:
            raise ValueError(
                f'{origin} asks for the kernels {name!r}, which do not work '
                f'here: {reason}. Ask for "plain", or for "auto"'
            )
        log_once(f'kernels: {name} ({place}), as {origin} asks for')
        return kernels
    refusals: list[str] = []
    for name, kernels in available().items():
        if kernels.device not in (None, x.device.type):
            continue
        if is_compiled and not kernels.can_be_compiled:
            continue
        reason = kernels.refuses(x)
        if reason is None:
            because = ''.join(f'; not {refusal}' for refusal in refusals)
            log_once(f'kernels: {name} ({place}){because}')
            return kernels
        refusals.append(f'{name}: {reason}')
    raise AssertionError('plain kernels refuse nothing')


def _check(name: str, origin: str) -> None:
    if name != 'auto' and name not in available():
        raise ValueError(
            f'{origin} must be one of {", ".join(available())} '
            f'or auto, got {name!r}'
        )
