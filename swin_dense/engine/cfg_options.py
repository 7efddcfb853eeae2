"""Check settings from the command line before they change a config."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from swin_dense.wording import did_you_mean, suggest_name

# Similarity from which an absent name is taken for a misspelling of a known
# name, not for an argument that the config leaves at its default.
_TYPO = 0.85
# Top-level names that are read after the config file has run: the arguments
# of the runner, and what this package's launch reads.
_READ = {*inspect.signature(Runner.__init__).parameters} - {'self'} | {
    'allow_nonfinite',
    'auto_scale_lr',
    'compile',
    'compile_backbone',
    'copy_classes',
    'custom_imports',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
    'tta',
}


def apply_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Merge dotted settings into a config, in place.

    mmengine adds a misspelt name silently, and changes a variable whose value
    the config has used already. Both are errors here. `data_root` is such a
    variable, but is accepted: every path below the old root is moved.

    Args:
        cfg: The config.
        options: Settings such as `{'train_dataloader.batch_size': 4}`.

    Raises:
        ValueError: If a name leads into a value that holds no settings, looks
            like a misspelling of an existing name, or sets a variable without
            effect; or if text replaces a number.
    """
    options = dict(options)
    for name, value in options.items():
        _check(cfg, name)
        _check_number(cfg, name, value)
    if 'data_root' in options and 'data_root' in cfg:
        new = str(options.pop('data_root')).rstrip('/')
        old = str(cfg.data_root).rstrip('/')
        cfg.merge_from_dict(move_paths(cfg.to_dict(), old, new))
    cfg.merge_from_dict(options)


def _check(cfg: Config, name: str) -> None:
    """Check that a dotted name leads to a place for a setting.

    Raises:
        ValueError: See `apply_options`.
    """
    first, *rest = name.split('.')
    if first not in _READ and not (first == 'data_root' and first in cfg):
        _refuse_variable(cfg, name, first)
    node: Any = cfg
    path: list[str] = []
    for key in (first, *rest):
        inside = '.'.join(path) or 'the config'
        if isinstance(node, (list, tuple)):
            if not key.isdigit() or int(key) >= len(node):
                raise ValueError(
                    f'--cfg-options {name}: {inside} is a list of '
                    f'{len(node)}; {key!r} is not an index into it'
                )
            node = node[int(key)]
        elif isinstance(node, (Config, Mapping)):
            if path and key not in node and did_you_mean(key, node, _TYPO):
                raise ValueError(
                    f'--cfg-options {name}: {inside} has no '
                    f'{key!r}; {suggest_name(key, list(node))}'
                )
            node = node.get(key, {})
        else:
            raise ValueError(
                f'--cfg-options {name}: {inside} is {node!r} and holds no '
                f'settings; set all of it, as in "{inside}=dict(...)"'
            )
        path.append(key)


def _check_number(cfg: Config, name: str, value: Any) -> None:
    """Check that a number is not replaced by text.

    Raises:
        ValueError: If the config has a number there and `value` is text.
    """
    node: Any = cfg
    for key in name.split('.'):
        if isinstance(node, (list, tuple)):
            node = node[int(key)]
        else:
            node = (
                node.get(key) if isinstance(node, Mapping | Config) else None
            )
    is_number = isinstance(node, (int, float))
    # mmengine's mixed precision takes a number or 'dynamic'.
    if is_number and isinstance(value, str) and value != 'dynamic':
        raise ValueError(
            f'--cfg-options {name}={value}: expected a value such as '
            f'{node!r}, got text'
        )


def _refuse_variable(cfg: Config, name: str, first: str) -> None:
    """Raise an error that says what to set in place of a variable.

    Raises:
        ValueError: Always.
    """
    places = list(_places(cfg, first))[:4]
    if first not in cfg:
        hint = (
            f'did you mean {" or ".join(places)}?'
            if places and '.' not in name
            else suggest_name(first, sorted(_READ | set(cfg)))
        )
        raise ValueError(
            f'--cfg-options {name}: a config has no {first!r}; {hint}'
        )
    instead = f': {" and ".join(places)}' if places else ''
    raise ValueError(
        f'--cfg-options {name}: {first} is a variable of the config file, '
        'whose value was used before options are applied; set the places '
        f'that hold it{instead}'
    )


def _places(node: Any, name: str, path: str = '') -> Iterator[str]:
    """Yield the dotted names that end in `name`, except the top level."""
    items: Any = ()
    if isinstance(node, (Config, Mapping)):
        items = node.items()
    elif isinstance(node, (list, tuple)):
        items = enumerate(node)
    for key, value in items:
        if path and key == name:
            yield f'{path}.{key}'
        if path or key in _READ:
            yield from _places(value, name, f'{path}.{key}'.lstrip('.'))


def move_paths(node: Any, old: str, new: str) -> Any:
    """Return a copy in which paths at or below `old` are below `new`."""
    if isinstance(node, dict):
        return {
            key: move_paths(value, old, new) for key, value in node.items()
        }
    if isinstance(node, (list, tuple)):
        return type(node)(move_paths(value, old, new) for value in node)
    if isinstance(node, str) and f'{node}/'.startswith(f'{old}/'):
        return new + node[len(old) :]
    return node
