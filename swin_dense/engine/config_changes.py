"""Describe the changes of a command line in a config, for the log."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from swin_dense.engine.cfg_options import move_paths

MAX_CHANGES = 20
MAX_LENGTH = 80
_UNSET = object()


def describe_changes(before: Config, after: Config) -> str:
    """Return the differences between two configs, as `name: old -> new`.

    A new `data_root` is one change, with all paths below it.

    Args:
        before: The config as its file defines it.
        after: The config as it will run.

    Returns:
        The changes on one line, at most `MAX_CHANGES`; '' if there is none.
    """
    old: dict[str, Any] = before.to_dict()
    new: dict[str, Any] = after.to_dict()
    lines = []
    roots = [str(config.get('data_root', '')) for config in (old, new)]
    if all(roots) and roots[0] != roots[1]:
        lines.append(f'data_root: {roots[0]!r} -> {roots[1]!r}')
        moved = move_paths(old, *(root.rstrip('/') for root in roots))
        old = {**moved, 'data_root': new['data_root']}
    lines += [
        f'{name}: {_show(was)} -> {_show(value)}'
        for name, was, value in _differences(old, new)
    ]
    if len(lines) > MAX_CHANGES:
        rest = len(lines) - MAX_CHANGES
        lines = [*lines[:MAX_CHANGES], f'and {rest} more']
    return ', '.join(lines)


def _differences(
    old: Any, new: Any, name: str = ''
) -> Iterator[tuple[str, Any, Any]]:
    """Yield the dotted name, the old and the new value of each change.

    A part of another type is one change.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        if name and old.get('type') != new.get('type'):
            yield name, old, new
            return
        for key in dict.fromkeys((*old, *new)):
            yield from _differences(
                old.get(key, _UNSET),
                new.get(key, _UNSET),
                f'{name}.{key}'.lstrip('.'),
            )
    elif (
        isinstance(old, (list, tuple))
        and isinstance(new, (list, tuple))
        and len(old) == len(new)
        and any(isinstance(entry, (Mapping, list, tuple)) for entry in old)
    ):
        for index, (was, value) in enumerate(zip(old, new)):
            yield from _differences(was, value, f'{name}.{index}')
    elif type(old) is not type(new) or old != new:
        yield name, old, new


def _show(value: Any) -> str:
    """Return a value on a short line; a part with a type by that type."""
    if value is _UNSET:
        return 'not set'
    if isinstance(value, Mapping) and 'type' in value:
        return f'dict(type={value["type"]!r}, ...)'
    text = ' '.join(repr(value).split())
    return text if len(text) <= MAX_LENGTH else f'{text[:MAX_LENGTH]}...'
