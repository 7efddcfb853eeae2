"""Read a pickle as data, without importing or calling what it names.

A checkpoint of torch.save describes its content by a pickle, a small program
that would import modules and call functions. `parse_pickle` decodes the
instructions with the standard library's `pickletools` and keeps each call as
a record. `restore` then decides which records stand for a value.
"""

import pickletools
from collections.abc import Callable, Container
from pickle import UnpicklingError
from typing import IO, Any, NamedTuple

from swin_dense.checkpoints.errors import MalformedError
from swin_dense.limits import LimitError, advice, limit

_MAX_OPERATIONS = 5_000_000
_LARGEST_KEY = 1 << 63
_KEY_TYPES = (str, int, float, bool, bytes, type(None))
_LITERALS = {'BINFLOAT', 'BININT', 'BININT1', 'BININT2', 'BINUNICODE', 'LONG1'}
# Strings of Python 2, which pickletools decodes as latin-1.
_BYTE_STRINGS = {'BINSTRING', 'SHORT_BINSTRING'}
_EMPTY: dict[str, Callable[[], Any]] = {
    'EMPTY_DICT': dict,
    'EMPTY_LIST': list,
    'EMPTY_TUPLE': tuple,
    'NEWFALSE': lambda: False,
    'NEWTRUE': lambda: True,
    'NONE': lambda: None,
}
_TUPLES = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}


class Global(NamedTuple):
    """A function or class that a pickle names, such as `torch.Size`."""

    name: str


class Stored(NamedTuple):
    """A reference to a storage beside the pickle."""

    key: Any


class Call:
    """A call in a pickle, which is not executed.

    Attributes:
        name: Full name of the function or class.
        arguments: Arguments of the call.
        state: State to set in the result, or None.
        items: Entries to set in the result, if it is a dictionary.
    """

    __slots__ = ('name', 'arguments', 'state', 'items')

    def __init__(self, name: str, arguments: tuple) -> None:
        self.name = name
        self.arguments = arguments
        self.state: Any = None
        self.items: dict[Any, Any] = {}


def parse_pickle(
    file: IO[bytes],
    allowed: Container[str],
    stored: list[Stored] | None = None,
) -> Any:
    """Decode the next pickle of a file.

    Args:
        file: File at the first instruction of the pickle. Afterwards it is
            behind the last.
        allowed: Full names that the pickle may mention.
        stored: List to which all references to storages are appended.

    Returns:
        Numbers, strings, None, lists, tuples and dictionaries; `Global`,
        `Call` and `Stored` in place of anything else.

    Raises:
        UnpicklingError: If the pickle names anything that is not allowed.
        LimitError: If it has too many instructions.
        MalformedError: If it is malformed, or has an instruction that
            torch.save does not write.
    """
    maximum = limit('MAX_CHECKPOINT_ENTRIES', _MAX_OPERATIONS)
    machine = _Machine(allowed, [] if stored is None else stored)
    for number, (operation, argument, _) in enumerate(
        pickletools.genops(file)
    ):
        if number > maximum:
            raise LimitError(
                f'it has more than {maximum:,.0f} entries. '
                + advice('MAX_CHECKPOINT_ENTRIES')
            )
        try:
            machine.run(operation.name, argument)
        except (IndexError, KeyError) as error:
            raise MalformedError(
                'its instructions do not fit each other'
            ) from error
    return machine.result


class _Machine:
    """A stack machine that decodes instructions without side effects."""

    def __init__(self, allowed: Container[str], stored: list[Stored]) -> None:
        self._allowed = allowed
        self._stored = stored
        self._stack: list[Any] = []
        self._outer: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self.result: Any = None

    def run(self, name: str, argument: Any) -> None:
        """Execute one instruction."""
        stack = self._stack
        if name in _LITERALS:
            stack.append(argument)
        elif name in ('BINPUT', 'LONG_BINPUT'):
            self._memo[argument] = stack[-1]
        elif name in ('BINGET', 'LONG_BINGET'):
            stack.append(self._memo[argument])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in _BYTE_STRINGS:
            stack.append(_decode(argument))
        elif name in _TUPLES:
            items = [stack.pop() for _ in range(_TUPLES[name])]
            stack.append(tuple(reversed(items)))
        else:
            handler = getattr(self, f'_{name.lower()}', None)
            if handler is None:
                raise MalformedError(
                    f'it needs the pickle instruction {name}, '
                    'which torch.save does not write'
                )
            handler(argument)

    def _mark(self, _: Any) -> None:
        self._outer.append(self._stack)
        self._stack = []

    def _marked_items(self) -> list[Any]:
        items, self._stack = self._stack, self._outer.pop()
        return items

    def _proto(self, version: int) -> None:
        """Skip the version: instructions are checked one by one."""

    def _stop(self, _: Any) -> None:
        self.result = self._stack.pop()

    def _tuple(self, _: Any) -> None:
        items = self._marked_items()
        self._stack.append(tuple(items))

    def _append(self, _: Any) -> None:
        item = self._stack.pop()
        self._target_list().append(item)

    def _appends(self, _: Any) -> None:
        items = self._marked_items()
        self._target_list().extend(items)

    def _setitem(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set_items([key, value])

    def _setitems(self, _: Any) -> None:
        self._set_items(self._marked_items())

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(' ')
        module = {'__builtin__': 'builtins'}.get(module, module)
        full = f'{module}.{name}'
        if full not in self._allowed:
            raise UnpicklingError(full.removeprefix('builtins.'))
        self._stack.append(Global(full))

    def _reduce(self, _: Any) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if type(function) is not Global or type(arguments) is not tuple:
            raise MalformedError('it calls something that is not a function')
        self._stack.append(Call(function.name, arguments))

    _newobj = _reduce

    def _build(self, _: Any) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if type(target) is not Call or target.state is not None:
            raise MalformedError(
                'it sets the state of an object that has none, or whose '
                'state is set already'
            )
        target.state = state

    def _binpersid(self, _: Any) -> None:
        reference = Stored(self._stack.pop())
        self._stored.append(reference)
        self._stack.append(reference)

    def _target_list(self) -> list[Any]:
        target = self._stack[-1]
        if type(target) is not list:
            raise MalformedError('it appends to something that is not a list')
        return target

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        entries = target.items if type(target) is Call else target
        if type(entries) is not dict or len(items) % 2:
            raise MalformedError(
                'it sets entries of something that is not a dictionary'
            )
        for key, value in zip(items[::2], items[1::2]):
            # Hashing nested tuples, or integers that are chosen to collide,
            # can take for ever.
            if type(key) not in _KEY_TYPES or (
                type(key) is int and abs(key) >= _LARGEST_KEY
            ):
                raise MalformedError(
                    f'it has a dictionary with a {type(key).__name__} as key'
                )
            entries[key] = value


def _decode(text: str) -> str:
    """Return a byte string decoded as UTF-8 if possible, else as latin-1."""
    try:
        return text.encode('latin-1').decode()
    except UnicodeDecodeError:
        return text
