"""Describe a checkpoint file, without a model to load it into."""

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
from swin_dense.checkpoints.files.parts import find_parts
from swin_dense.checkpoints.files.read import local_file, read_checkpoint
from swin_dense.checkpoints.files.sniff import is_archive, is_safetensors
from swin_dense.checkpoints.identify import describe
from swin_dense.checkpoints.layouts.tensors import StateDict
from swin_dense.checkpoints.layouts.translate import (
    BackboneFile,
    read_backbone,
)
from swin_dense.checkpoints.native import RECOMPUTED, family

Info = dict[str, Any]

_SHOWN = ('meta', 'epoch', 'iter')
# Layers whose outputs are classes, and the number of outputs for background.
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


def inspect_checkpoint(
    source: str | os.PathLike, prefix: str | None = None
) -> Info:
    """Describe a checkpoint file. No code in the file is executed.

    Args:
        source: Path or address.
        prefix: Prefix of the names of the backbone to describe, for a
            checkpoint that holds several.

    Returns:
        Plain values, ready for JSON; see `format_info`. Unknown values are
        None.

    Raises:
        CheckpointError: If the file cannot be read, or has no Swin of a known
            source.
    """
    path = local_file(source)
    checkpoint = read_checkpoint(path, mmap=True)
    try:
        file = read_backbone(checkpoint, prefix=prefix)
    except ValueError as error:
        raise CheckpointError(f'{path} is {error}') from error
    native, state_dict = file.weights, file.stored
    windows = known_windows(file)
    window, window_from = _window(path, windows, file, checkpoint)
    pixels, pixels_from = _resolution(path, file, checkpoint, window)
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
        source=str(file.recognised),
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
        metadata=file.recorded,
        backbone=settings,
    )


def _window(
    path: Path,
    windows: Mapping[str, Any],
    file: BackboneFile,
    checkpoint: Mapping[str, Any],
) -> tuple[list[int] | None, str]:
    """Return the window in tokens, and where it was found."""
    if 'window' in windows:
        is_mlp = family(file.weights) == 'mlp'
        how = 'weights of its windows' if is_mlp else 'bias tables'
        return windows['window'], how
    for name, value in file.stored.items():
        if name.endswith('.relative_coords_table'):  # (1, 2h - 1, 2w - 1, 2)
            sides = [(side + 1) // 2 for side in value.shape[1:3]]
            return sides, 'coordinates that it holds'
    if file.recorded.get('window'):
        return list(file.recorded['window']), 'recorded'
    config = _model_config(checkpoint)
    if isinstance(config.get('WINDOW_SIZE'), int):
        return [config['WINDOW_SIZE']] * 2, 'its config'
    match = _WINDOW_IN_NAME.search(path.name)
    if match:
        return [int(match[1])] * 2, 'a guess from the file name'
    return None, ''


def _resolution(
    path: Path,
    file: BackboneFile,
    checkpoint: Mapping[str, Any],
    window: list[int] | None,
) -> tuple[list | None, str]:
    """Return the image size in pixels, and where it was found."""
    native = file.weights
    size = image_size(native)
    if size:
        return list(size), 'absolute embedding'
    data = _section(checkpoint.get('config'), 'DATA')
    if isinstance(data.get('IMG_SIZE'), int):
        return [data['IMG_SIZE']] * 2, 'its config'
    patch = native['patch_embed.proj.weight']
    shifted = 'layers.0.blocks.1.norm1.weight'
    if window and patch.ndim == 4 and shifted in file.origin:
        # The first stage has a mask for each window of its map.
        block = file.origin[shifted].rpartition('norm1.')[0]
        mask = file.stored.get(f'{block}attn_mask')
        if mask is not None and isqrt(len(mask)) ** 2 == len(mask):
            side = isqrt(len(mask)) * patch.shape[-1]
            return [side * tokens for tokens in window], 'attention mask'
    match = _SIZE_IN_NAME.search(path.name)
    if match and int(match[1]) % 32 == 0:
        return [int(match[1])] * 2, 'a guess from the file name'
    return None, ''


def _progress(checkpoint: Mapping[str, Any]) -> Info:
    """Return the epoch and the iteration of the training, if stored."""
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
    """Return number and names of the classes, and where they were found."""
    names = stored_classes(checkpoint)
    if names:
        return dict(count=len(names), names=names, how='meta data')
    for name, background in _HEADS:
        if name in state_dict:
            count = len(state_dict[name]) - background
            return dict(count=count, names=None, how=f'shape of {name}')
    return None


def _besides(checkpoint: Mapping[str, Any]) -> dict[str, str]:
    """Outline the entries of a checkpoint other than the weights read."""
    if all(map(torch.is_tensor, checkpoint.values())):
        return {}
    weights_key = (
        'state_dict'
        if isinstance(checkpoint.get('state_dict'), Mapping)
        else 'model'
    )
    return {
        str(key): _outline(value)
        for key, value in checkpoint.items()
        if key not in (weights_key, *_SHOWN)
    }


def _outline(value: Any) -> str:
    """Return a few words on an entry: its size, or its text."""
    tensors = _tensors(value)
    if tensors:
        size = sum(v.numel() * v.element_size() for v in tensors)
        plural = 's' if len(tensors) > 1 else ''
        return f'{len(tensors)} tensor{plural}, {size / 1e6:.1f} MB'
    if isinstance(value, (Mapping, list, tuple)):
        return f'{len(value)} entries'
    return str(value)[:60]


def _tensors(value: Any) -> list[Tensor]:
    """Return all tensors in nested lists and mappings."""
    if torch.is_tensor(value):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [tensor for entry in value for tensor in _tensors(entry)]
    return []


def _container(path: Path) -> str:
    """Return the name of the file format."""
    if is_safetensors(path):
        return 'safetensors'
    parts = find_parts(path)
    if parts is not None:
        return f'{len(parts.names)} files of torch.save'
    return 'torch.save' if is_archive(path) else 'torch.save before 1.6'


def _model_config(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of the Swin from an official checkpoint's config."""
    model = _section(checkpoint.get('config'), 'MODEL')
    kind = str(model.get('TYPE', '')).upper()
    return _section(model, kind)


def _section(mapping: Any, key: str) -> Mapping[str, Any]:
    """Return the mapping under a key; {} if there is none."""
    section = mapping.get(key) if isinstance(mapping, Mapping) else None
    return section if isinstance(section, Mapping) else {}
