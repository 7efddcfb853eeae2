"""Lets `torch.load(weights_only=True)` read what mmengine stores.

Since PyTorch 2.6 a checkpoint may hold nothing but tensors and plain
containers unless each further name is allow-listed. mmengine 0.10 writes a few
more: histories of the logged values, numpy arrays and numbers, and attributes
of two of its classes, fetched by `getattr`. Each gets a stand-in that can
return those values and nothing else, so that reading a file still executes no
code of the file's choosing:

- `getattr` would reach any object of the process. Its stand-in knows the
  statistics of `HistoryBuffer` and the curves of `OneCycleParamScheduler`.
- `numpy.dtype` would let a file set the flags of a copied type, and with them
  have numbers taken for pointers. Its stand-in returns numpy's own immutable
  types of numbers.

Remove this file once mmengine allow-lists its own state.
"""
from collections import OrderedDict
from pickle import UnpicklingError
from typing import Any, Callable

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer

# The public place of these is private in numpy 1 and numpy 2 alike.
_reconstruct = np.ndarray(0).__reduce__()[0]
_scalar = np.float64(0).__reduce__()[0]

_NUMBERS = {
    code: np.dtype(code)
    for code in 'b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 c8 c16'.split()
}
_STATISTICS = {
    name: getattr(HistoryBuffer, name)
    for name in ('mean', 'max', 'min', 'current')
}
_ANNEALING = ('_annealing_cos', '_annealing_linear')
_ONE_CYCLE = 'mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler'


def _attribute(owner: Any, name: str) -> Callable:
    """Stand in for `getattr` with the attributes that mmengine pickles.

    Args:
        owner: `HistoryBuffer`, or the name of `OneCycleParamScheduler`.
        name: One of its statistics or curves. Statistics that the user
            registered under the same class count too.

    Raises:
        UnpicklingError: For any other owner or attribute.
    """
    if owner is HistoryBuffer and isinstance(name, str):
        statistics = {**HistoryBuffer._statistics_methods, **_STATISTICS}
        if name in statistics:
            return statistics[name]
    if owner == _ONE_CYCLE and name in _ANNEALING:
        # Rare, and the import would make this package heavy.
        from mmengine.optim.scheduler import OneCycleParamScheduler
        return getattr(OneCycleParamScheduler, name)
    raise UnpicklingError(
        f'GLOBAL getattr of {name!r} on {owner!r} is not allowed')


def _number_type(code: Any, align: bool = False, copy: bool = False) -> Any:
    """Stand in for `numpy.dtype` with the types of numbers.

    The shared instances are returned whatever `copy` says: numpy does not let
    anybody set their state. Their byte order is the machine's own.

    Raises:
        UnpicklingError: For any other type, objects and records included.
    """
    if isinstance(code, bytes):
        code = code.decode('ascii', 'replace')
    if not isinstance(code, str) or code not in _NUMBERS:
        raise UnpicklingError(f'GLOBAL numpy.dtype of {code!r} is not allowed')
    return _NUMBERS[code]


def _no_bytes() -> bytes:
    """Stand in for `bytes`, whose call is how an empty array is stored."""
    return b''


def install() -> None:
    """Allow-list what mmengine stores. Cheap, and safe to call again."""
    stand_ins = [
        (HistoryBuffer, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (_attribute, 'builtins.getattr'),
        (_ONE_CYCLE, _ONE_CYCLE),
        (np.ndarray, 'numpy.ndarray'),
        (_number_type, 'numpy.dtype'),
        (_no_bytes, 'builtins.bytes'),
        # Configurations are read as plain dictionaries: mmengine's appear in
        # the meta data of data sets, yacs's in official classification files.
        (dict, 'mmengine.config.config.ConfigDict'),
        (OrderedDict, 'yacs.config.CfgNode'),
    ]
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        stand_ins += [(_reconstruct, f'{module}._reconstruct'),
                      (_scalar, f'{module}.scalar')]
    # Restoring an array sets the state of its type, too.
    torch.serialization.add_safe_globals(
        stand_ins + sorted({type(t)
                            for t in _NUMBERS.values()}, key=str))
