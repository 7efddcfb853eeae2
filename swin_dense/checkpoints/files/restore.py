"""Restore the values of a pickle that was read as data.

Only the few calls below are restored, after a check of their arguments; any
other call is an error. Tensors, arrays and histories are new objects: no
existing object of the process is changed.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from torch import Tensor

from swin_dense.checkpoints.errors import MalformedError
from swin_dense.checkpoints.files.pickles import Call, Global, Stored
from swin_dense.limits import LimitError, advice, limit

_DEEPEST = 100
_MAX_DIMENSIONS = 64
_MAX_VALUES = 5_000_000
_PLAIN = (str, int, float, bool, bytes, type(None))
_HISTORY = 'mmengine.logging.history_buffer.HistoryBuffer'
_ONE_CYCLE = 'mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler'
_ANNEALING = ('_annealing_cos', '_annealing_linear')
# Attributes that PyTorch and this package set at a bare state_dict.
_ATTRIBUTES = ('_metadata', 'swin_dense')
_NUMBER_TYPES = 'b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 c8 c16'.split()
_DTYPES = {
    f'torch.{name}': getattr(torch, name)
    for name in (
        'bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 '
        'bfloat16 '
        'float32 float64 complex32 complex64 complex128 float8_e4m3fn '
        'float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz'
    ).split()
    if hasattr(torch, name)
}
_STORAGE_TYPES = {
    f'torch.{name}Storage': dtype
    for name, dtype in dict(
        Bool=torch.bool,
        Byte=torch.uint8,
        Char=torch.int8,
        Short=torch.int16,
        Int=torch.int32,
        Long=torch.int64,
        Half=torch.float16,
        BFloat16=torch.bfloat16,
        Float=torch.float32,
        Double=torch.float64,
        ComplexFloat=torch.complex64,
        ComplexDouble=torch.complex128,
    ).items()
}
_STORAGE_TYPES['torch.storage.UntypedStorage'] = torch.uint8


class Storages(Protocol):
    """The storages of a checkpoint; see `records.Storages`."""

    def load(
        self, key: str, dtype: torch.dtype, numel: int, location: str
    ) -> torch.UntypedStorage:
        """Return a storage of exactly `numel` elements of `dtype`."""


class Restorer:
    """Turn the result of `parse_pickle` into values.

    Args:
        storages: Storages of the tensors.
        max_bytes: Total size that tensors and arrays may have. One that
            occurs several times is counted each time.
    """

    def __init__(self, storages: Storages, max_bytes: float) -> None:
        self._storages = storages
        self._bytes_left = max_bytes
        self._values_left = limit('MAX_CHECKPOINT_ENTRIES', _MAX_VALUES)

    def value(self, node: Any, depth: int = 0) -> Any:
        """Return the value of a node.

        Raises:
            LimitError: If there are too many values, or they are nested too
                deeply or take too much memory.
            MalformedError: If a record cannot be restored.
        """
        self._values_left -= 1
        if self._values_left < 0:
            raise LimitError(
                'it has too many entries, shared ones counted '
                'each time. ' + advice('MAX_CHECKPOINT_ENTRIES')
            )
        if depth > _DEEPEST:
            raise LimitError(f'it is nested deeper than {_DEEPEST} levels')
        kind = type(node)
        if kind is str or kind in _PLAIN:
            return node
        if kind is dict:
            return {k: self.value(v, depth + 1) for k, v in node.items()}
        if kind is list or kind is tuple:
            return kind([self.value(inner, depth + 1) for inner in node])
        if kind is Call:
            return self._call(node, depth + 1)
        if kind is Global and node.name in _DTYPES:
            return _DTYPES[node.name]
        name = node.name if kind is Global else 'a storage'
        raise MalformedError(f'it has {name} where a value is expected')

    def _call(self, node: Call, depth: int) -> Any:
        """Return the value of a call."""
        try:
            return _BUILDERS[node.name](self, node, depth)
        except (LimitError, MalformedError):
            raise
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise MalformedError(
                f'it calls {node.name} with other arguments '
                'than torch.save writes'
            ) from error

    def _spend(self, size: int) -> None:
        """Count `size` bytes, and raise if the limit is exceeded."""
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise LimitError(
                'its tensors and arrays take more memory than a file of '
                'its size may take. ' + advice('MAX_UNPACKED_GB')
            )

    def _tensor(self, node: Call, depth: int) -> Tensor:
        stored, offset, size, stride, *rest = node.arguments
        # `rest` holds a flag for gradients and hooks, which are ignored, then
        # in version 3 the type, then metadata of views.
        dtype = None
        if node.name.endswith('v3'):
            dtype = _DTYPES[rest[2].name]
            rest = rest[:2] + rest[3:]
        if any(rest[2:]):
            raise MalformedError('it has a conjugated or negated view')
        key, stored_dtype, numel, location = _describe(stored)
        dtype = dtype or stored_dtype
        _check_layout(
            offset,
            size,
            stride,
            numel * stored_dtype.itemsize // dtype.itemsize,
        )
        self._spend(_count(size) * dtype.itemsize)
        storage = self._storages.load(key, stored_dtype, numel, location)
        value = torch.empty(0, dtype=dtype, device=storage.device)
        value.set_(storage, offset, size, stride)
        if dtype == torch.bool and (value.view(torch.uint8) > 1).any():
            raise MalformedError('it has truth values other than 0 and 1')
        return value

    def _parameter(self, node: Call, depth: int) -> Tensor:
        value = self.value(node.arguments[0], depth)
        if not isinstance(value, Tensor):
            raise MalformedError('it has a parameter that is no tensor')
        return value

    def _array(self, node: Call, depth: int) -> np.ndarray:
        version, shape, dtype, fortran, content = node.state
        dtype = self._number_type(dtype, depth)
        content = self.value(content, depth)
        _check_size(shape, type(shape))
        if (
            version != 1
            or type(content) is not bytes
            or _count(shape) * dtype.itemsize != len(content)
        ):
            raise MalformedError(
                f'it has an array of shape {shape} and type '
                f'{dtype} that does not fit its content'
            )
        array = _numbers(content, dtype)
        return array.reshape(shape, order='F' if fortran else 'C')

    def _scalar(self, node: Call, depth: int) -> Any:
        dtype, content = node.arguments
        dtype = self._number_type(dtype, depth)
        content = self.value(content, depth)
        if type(content) is not bytes or len(content) != dtype.itemsize:
            raise MalformedError('it has a number that does not fit its type')
        return _numbers(content, dtype)[0]

    def _number_type(self, node: Any, depth: int = 0) -> np.dtype:
        if type(node) is not Call or node.name != 'numpy.dtype':
            raise MalformedError('it has an array without a type')
        code = self.value(node.arguments[0], depth)
        if isinstance(code, bytes):
            code = code.decode('latin-1')
        if code not in _NUMBER_TYPES:
            raise MalformedError(
                f'it has an array of type {code!r}: only numbers are read'
            )
        if node.state is None:
            return np.dtype(code)
        _, order, subtype, names, fields, _, _, *flags = node.state
        # Flags could make numpy take numbers for pointers.
        if subtype or names or fields or any(flags) or order not in '<>=|':
            raise MalformedError('it has an array of records or objects')
        return np.dtype(order + code)

    def _history(self, node: Call, depth: int) -> HistoryBuffer:
        # Statistics are left out, since mmengine would set them in its class.
        state = {
            name: self.value(node.state[name], depth)
            for name in ('_log_history', '_count_history', 'max_length')
        }
        values, counts = state['_log_history'], state['_count_history']
        length = state['max_length']
        if not (
            isinstance(values, np.ndarray)
            and isinstance(counts, np.ndarray)
            and values.ndim == 1
            and values.shape == counts.shape
            and type(length) is int
            and len(values) <= length
        ):
            raise MalformedError(
                'it has a history of logged values that is not '
                'two lists of one length'
            )
        return HistoryBuffer(values, counts, length)

    def _attribute(self, node: Call, depth: int) -> Callable:
        """Return a curve of OneCycleParamScheduler, which its state names."""
        owner, name = node.arguments
        if owner != Global(_ONE_CYCLE) or name not in _ANNEALING:
            owner = owner.name if type(owner) is Global else owner
            raise MalformedError(
                f'it has the attribute {name!r} of {owner!r} '
                'where a value is expected'
            )
        # Imported here, since it is rarely needed and slow.
        from mmengine.optim.scheduler import OneCycleParamScheduler

        return getattr(OneCycleParamScheduler, name)

    def _bytes(self, node: Call, depth: int) -> bytes:
        if not node.arguments:
            return b''
        content, encoding = node.arguments
        if type(content) is not str or encoding not in ('latin1', 'latin-1'):
            raise MalformedError(
                'it has text in another encoding than latin-1'
            )
        self._spend(len(content))
        return content.encode(encoding)

    def _bytearray(self, node: Call, depth: int) -> bytearray:
        content = (
            self.value(node.arguments[0], depth) if node.arguments else b''
        )
        if type(content) is not bytes:
            raise MalformedError(
                'it has a bytearray that is not made of bytes'
            )
        return bytearray(content)

    def _dictionary(self, node: Call, depth: int) -> dict[Any, Any]:
        entries = dict(node.items)
        for argument in node.arguments:
            if type(argument) is not dict:
                raise MalformedError(
                    'it has a dictionary made of something else'
                )
            entries.update(argument)
        return {k: self.value(v, depth) for k, v in entries.items()}

    def _ordered(self, node: Call, depth: int) -> OrderedDict:
        result = OrderedDict(self._dictionary(node, depth))
        if type(node.state) is dict:
            for name in _ATTRIBUTES:
                value = self.value(node.state.get(name), depth)
                if isinstance(value, dict):
                    vars(result)[name] = value
        return result

    def _counter(self, node: Call, depth: int) -> Counter:
        return Counter(self._dictionary(node, depth))

    def _set(self, node: Call, depth: int) -> set[Any]:
        items = self.value(node.arguments[0], depth) if node.arguments else []
        if type(items) is not list or not all(
            type(item) in _PLAIN for item in items
        ):
            raise MalformedError(
                'it has a set of something else than numbers and text'
            )
        return set(items)

    def _complex(self, node: Call, depth: int) -> complex:
        real, imaginary = node.arguments
        return complex(float(real), float(imaginary))

    def _size(self, node: Call, depth: int) -> torch.Size:
        sizes = node.arguments[0] if node.arguments else ()
        _check_size(sizes, type(sizes))
        return torch.Size(sizes)

    def _device(self, node: Call, depth: int) -> torch.device:
        return torch.device(*node.arguments)


_BUILDERS: dict[str, Callable[[Restorer, Call, int], Any]] = {
    'torch._utils._rebuild_tensor': Restorer._tensor,
    'torch._utils._rebuild_tensor_v2': Restorer._tensor,
    'torch._utils._rebuild_tensor_v3': Restorer._tensor,
    'torch._utils._rebuild_parameter': Restorer._parameter,
    'torch.Size': Restorer._size,
    'torch.device': Restorer._device,
    'numpy.dtype': Restorer._number_type,
    'builtins.bytes': Restorer._bytes,
    '_codecs.encode': Restorer._bytes,
    'builtins.bytearray': Restorer._bytearray,
    'builtins.complex': Restorer._complex,
    'builtins.set': Restorer._set,
    'builtins.getattr': Restorer._attribute,
    'collections.Counter': Restorer._counter,
    'collections.OrderedDict': Restorer._ordered,
    # mmengine's configurations appear in the metadata of data sets, yacs's
    # in official classification checkpoints.
    'mmengine.config.config.ConfigDict': Restorer._dictionary,
    'yacs.config.CfgNode': Restorer._dictionary,
    _HISTORY: Restorer._history,
}
for _module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
    _BUILDERS[f'{_module}._reconstruct'] = Restorer._array
    _BUILDERS[f'{_module}.scalar'] = Restorer._scalar
# Full names that a checkpoint may mention.
ALLOWED = frozenset(
    {*_BUILDERS, *_DTYPES, *_STORAGE_TYPES, 'numpy.ndarray', _ONE_CYCLE}
)


def storage_size(stored: Stored) -> tuple[str, int, int]:
    """Return the key of a storage, its length, and the bytes of a number.

    Raises:
        MalformedError: If the reference does not describe a storage.
    """
    key, dtype, numel, _ = _describe(stored)
    return key, numel, dtype.itemsize


def _describe(stored: Any) -> tuple[str, torch.dtype, int, str]:
    """Return key, type, number of elements and device of a storage."""
    if type(stored) is not Stored or type(stored.key) is not tuple:
        raise MalformedError('it has a tensor without a storage')
    kind, storage_type, key, location, numel, *view = stored.key
    if kind != 'storage' or any(view):
        raise MalformedError(
            'it has a view of a storage, as PyTorch before 0.4 wrote them'
        )
    _check_size((numel,), tuple)
    if type(key) is not str or type(location) is not str:
        raise MalformedError('it has a storage without a name')
    return key, _STORAGE_TYPES[storage_type.name], numel, location


def _numbers(content: bytes, dtype: np.dtype) -> np.ndarray:
    """Return a new array in this machine's byte order."""
    if dtype == bool:
        return np.frombuffer(content, np.uint8) != 0
    return np.frombuffer(content, dtype).astype(dtype.newbyteorder('='))


def _check_size(size: Any, kind: type) -> None:
    """Raise unless a shape is a tuple of a few non-negative integers."""
    if (
        kind is not tuple
        or len(size) > _MAX_DIMENSIONS
        or not all(type(side) is int and 0 <= side < 1 << 63 for side in size)
    ):
        raise MalformedError('it has a tensor or array of impossible shape')


def _check_layout(offset: Any, size: Any, stride: Any, numel: int) -> None:
    """Raise unless every element lies in a storage of `numel` elements."""
    _check_size(size, type(size))
    _check_size(stride, type(stride))
    _check_size((offset,), tuple)
    if len(size) != len(stride):
        raise MalformedError(
            'it has a tensor with another number of strides than of dimensions'
        )
    last = offset + sum((side - 1) * step for side, step in zip(size, stride))
    if _count(size) and last >= numel or offset > numel:
        raise MalformedError(
            f'it has a tensor of shape {size} that reaches outside of its '
            f'{numel} stored elements'
        )


def _count(size: Sequence[int]) -> int:
    """Return the number of elements of a shape, as an exact integer."""
    product = 1
    for side in size:
        product *= side
    return product
