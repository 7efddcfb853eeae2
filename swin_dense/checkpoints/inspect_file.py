"""What a checkpoint file is, without a model to load it into."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from swin_dense.checkpoints.backbone_settings import (
    backbone_settings,
    image_size,
    known_windows,
)
from swin_dense.checkpoints.class_names import stored_classes
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.download import name_hash, sha256
from swin_dense.checkpoints.files.metadata import metadata_of
from swin_dense.checkpoints.files.read import local_file, read_checkpoint
from swin_dense.checkpoints.files.sniff import is_archive, is_safetensors
from swin_dense.checkpoints.identify import describe
from swin_dense.checkpoints.layouts.tensors import StateDict
from swin_dense.checkpoints.layouts.translate import (
    BackboneFile,
    convert,
    extract_state_dict,
)
from swin_dense.checkpoints.native import RECOMPUTED, family
from swin_dense.wording import first_few

Info = dict[str, Any]

_SHOWN = ('meta', 'epoch', 'iter')
# Layers whose outputs are classes, and how many of these are background.
_HEADS = (
    ('head.weight', 0),
    ('head.fc.weight', 0),
    ('classifier.weight', 0),
    ('cls_head.fc_cls.weight', 0),
    ('decode_head.conv_seg.weight', 0),
    ('roi_head.bbox_head.fc_cls.weight', 1),
    ('roi_head.bbox_head.0.fc_cls.weight', 1),
)
_WINDOW_IN_NAME = re.compile(r'(?:window|[_-]w)(?:\d+to)?(\d+)')
_SIZE_IN_NAME = re.compile(r'(?:_|-|img|to)(\d{3})(?:px)?(?=[_.-])')


def inspect_checkpoint(source: str | os.PathLike) -> Info:
    """Find out what a checkpoint file is. Nothing of it is executed.

    Args:
        source: Path or address.

    Returns:
        Plain values, ready for JSON; see `format_info`. What cannot be known
        is None.

    Raises:
        CheckpointError: If it cannot be read, or is no Swin in a known
            format.
    """
    path = local_file(source)
    checkpoint = read_checkpoint(path, mmap=True)
    state_dict = extract_state_dict(checkpoint)
    try:
        converted = convert(state_dict)
    except ValueError as error:
        raise CheckpointError(f'{path} is {error}') from error
    native, recorded = converted.state_dict, metadata_of(checkpoint)
    windows = known_windows(converted, state_dict, recorded)
    window, window_from = _window(path, windows, state_dict, checkpoint)
    pixels, pixels_from = _resolution(
        path, converted, state_dict, checkpoint, window
    )
    settings = backbone_settings(native, window)
    sizes = windows.get('pretrained_window_sizes')
    if settings and sizes:
        settings['pretrained_window_sizes'] = tuple(map(tuple, sizes))
    digest, expected = sha256(path), name_hash(path.name)
    weights = {k: v for k, v in state_dict.items() if not RECOMPUTED.search(k)}
    types = Counter(str(v.dtype).partition('.')[2] for v in weights.values())
    return dict(
        file=str(source),
        container=_container(path),
        bytes=path.stat().st_size,
        sha256=digest,
        hash_in_name=digest.startswith(expected) if expected else None,
        source=str(converted.source),
        family=family(native),
        arch=describe(native),
        window=window,
        window_from=window_from,
        resolution=pixels,
        resolution_from=pixels_from,
        **_progress(checkpoint),
        classes=_classes(checkpoint, state_dict),
        tensors=len(state_dict),
        backbone_tensors=len(native),
        parameters=sum(v.numel() for v in weights.values()),
        backbone_parameters=sum(v.numel() for v in native.values()),
        dtypes=dict(types),
        besides=_besides(checkpoint),
        metadata=recorded,
        backbone=settings,
    )


def format_info(info: Info) -> str:
    """The same for people."""
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


def _window(
    path: Path,
    windows: Mapping[str, Any],
    state_dict: StateDict,
    checkpoint: Mapping[str, Any],
) -> tuple[list[int] | None, str]:
    """The window in tokens, and how it is known."""
    if 'window' in windows:
        return windows['window'], 'bias tables'
    for name, value in state_dict.items():
        if name.endswith('.relative_coords_table'):  # (1, 2h - 1, 2w - 1, 2)
            sides = [(side + 1) // 2 for side in value.shape[1:3]]
            return sides, 'coordinates that it holds'
    recorded = metadata_of(checkpoint).get('window')
    if recorded:
        return list(recorded), 'recorded'
    config = _model_config(checkpoint)
    if isinstance(config.get('WINDOW_SIZE'), int):
        return [config['WINDOW_SIZE']] * 2, 'its config'
    match = _WINDOW_IN_NAME.search(path.name)
    if match:
        return [int(match[1])] * 2, 'a guess from the file name'
    return None, ''


def _resolution(
    path: Path,
    converted: BackboneFile,
    state_dict: StateDict,
    checkpoint: Mapping[str, Any],
    window: list[int] | None,
) -> tuple[list | None, str]:
    """Height and width of the images in pixels, and how they are known."""
    native = converted.state_dict
    embedded = image_size(native)
    if embedded:
        return list(embedded), 'absolute embedding'
    data = _section(checkpoint.get('config'), 'DATA')
    if isinstance(data.get('IMG_SIZE'), int):
        return [data['IMG_SIZE']] * 2, 'its config'
    patch = native['patch_embed.proj.weight']
    shifted = 'layers.0.blocks.1.norm1.weight'
    if window and patch.ndim == 4 and shifted in converted.origin:
        # One mask for each window of the map of the first stage.
        theirs = converted.origin[shifted].rpartition('norm1.')[0]
        mask = state_dict.get(f'{theirs}attn_mask')
        if mask is not None and isqrt(len(mask)) ** 2 == len(mask):
            side = isqrt(len(mask)) * patch.shape[-1]
            return [side * tokens for tokens in window], 'attention mask'
    match = _SIZE_IN_NAME.search(path.name)
    if match and int(match[1]) % 32 == 0:
        return [int(match[1])] * 2, 'a guess from the file name'
    return None, ''


def _progress(checkpoint: Mapping[str, Any]) -> Info:
    """How far the training was."""
    meta = _section(checkpoint, 'meta')
    epoch = meta.get('epoch', checkpoint.get('epoch'))
    iteration = meta.get('iter', checkpoint.get('iter'))
    return dict(
        epoch=epoch if isinstance(epoch, int) else None,
        iteration=iteration if isinstance(iteration, int) else None,
    )


def _classes(
    checkpoint: Mapping[str, Any], state_dict: StateDict
) -> Info | None:
    names = stored_classes(checkpoint)
    if names:
        return dict(count=len(names), names=names, how='meta data')
    for name, background in _HEADS:
        if name in state_dict:
            count = len(state_dict[name]) - background
            return dict(count=count, names=None, how=f'shape of {name}')
    return None


def _besides(checkpoint: Mapping[str, Any]) -> dict[str, str]:
    """What is in the file next to the weights that are read."""
    if all(map(torch.is_tensor, checkpoint.values())):
        return {}
    used = (
        'state_dict'
        if isinstance(checkpoint.get('state_dict'), Mapping)
        else 'model'
    )
    return {
        str(key): _outline(value)
        for key, value in checkpoint.items()
        if key not in (used, *_SHOWN)
    }


def _outline(value: Any) -> str:
    tensors = _tensors(value)
    if tensors:
        size = sum(v.numel() * v.element_size() for v in tensors)
        plural = 's' if len(tensors) > 1 else ''
        return f'{len(tensors)} tensor{plural}, {size / 1e6:.1f} MB'
    if isinstance(value, (Mapping, list, tuple)):
        return f'{len(value)} entries'
    return str(value)[:60]


def _tensors(value: Any) -> list[Tensor]:
    if torch.is_tensor(value):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [tensor for entry in value for tensor in _tensors(entry)]
    return []


def _container(path: Path) -> str:
    if is_safetensors(path):
        return 'safetensors'
    return 'torch.save' if is_archive(path) else 'torch.save before 1.6'


def _model_config(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of the Swin in the config of an official file."""
    model = _section(checkpoint.get('config'), 'MODEL')
    kind = str(model.get('TYPE', '')).upper()
    return _section(model, kind)


def _section(mapping: Any, key: str) -> Mapping[str, Any]:
    found = mapping.get(key) if isinstance(mapping, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _by(sizes: list[int]) -> str:
    return ' x '.join(map(str, sizes))


def _call(arguments: Mapping[str, Any]) -> str:
    """A config as Python writes it."""
    inside = ', '.join(
        f'{key}={_call(value) if isinstance(value, Mapping) else repr(value)}'
        for key, value in arguments.items()
    )
    return f'dict({inside})'
