"""Format the description of a checkpoint file as text."""

from collections.abc import Mapping
from typing import Any

from swin_dense.wording import first_few


def format_info(info: Mapping[str, Any]) -> str:
    """Return the result of `inspect_checkpoint` as text."""
    lines = [info['file']]

    def add(label: str, text: Any, how: str | None = None) -> None:
        if text:
            lines.append(
                f'  {label:<11} {text}' + (f' ({how})' if how else '')
            )

    in_name = {
        None: '',
        True: ', as in the name',
        False: ', NOT as in the name',
    }[info['hash_in_name']]
    add('file', f'{info["container"]}, {info["bytes"] / 1e6:.1f} MB')
    add('sha256', f'{info["sha256"]}{in_name}')
    add('source', info['source'])
    add('arch', info['arch'] or f'a Swin ({info["family"]}) of its own')
    add(
        'window',
        info['window'] and _by(info['window']) + ' tokens',
        info['window_from'],
    )
    add(
        'resolution',
        info['resolution'] and _by(info['resolution']) + ' pixels',
        info['resolution_from'],
    )
    progress = ', '.join(
        f'{key} {info[key]}'
        for key in ('epoch', 'iteration')
        if info[key] is not None
    )
    add('training', progress)
    classes = info['classes']
    if classes:
        names = classes['names'] and f': {first_few(classes["names"])}'
        add('classes', f'{classes["count"]}{names or ""}', classes['how'])
    dtypes = ', '.join(
        f'{name} ({count})' if len(info['dtypes']) > 1 else name
        for name, count in info['dtypes'].items()
    )
    add(
        'tensors',
        f'{info["tensors"]}, of the backbone '
        f'{info["backbone_tensors"]}; {dtypes}',
    )
    add(
        'parameters',
        f'{info["parameters"] / 1e6:.2f} M, of the backbone '
        f'{info["backbone_parameters"] / 1e6:.2f} M',
    )
    add('besides', '; '.join(f'{k}: {v}' for k, v in info['besides'].items()))
    for key, value in info['metadata'].items():
        add('recorded', f'{key}: {value}')
    if info['backbone']:
        arguments = {
            **info['backbone'],
            'init_cfg': dict(type='Pretrained', checkpoint=info['file']),
        }
        add('use it as', 'backbone=' + _call(arguments))
    return '\n'.join(lines)


def _by(sizes: list[int]) -> str:
    """Return sizes as text, such as '8 x 7 x 7'."""
    return ' x '.join(map(str, sizes))


def _call(arguments: Mapping[str, Any]) -> str:
    """Return a config as Python source."""
    inside = ', '.join(
        f'{key}={_call(value) if isinstance(value, Mapping) else repr(value)}'
        for key, value in arguments.items()
    )
    return f'dict({inside})'
