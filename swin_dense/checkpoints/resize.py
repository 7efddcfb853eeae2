"""Resize a whole checkpoint to another window, keeping its names."""

import copy
from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Any, NamedTuple

from torch import Tensor

from swin_dense.checkpoints.adapt import source_windows
from swin_dense.checkpoints.finite import check_numbers
from swin_dense.checkpoints.layouts.translate import (
    BackboneFile,
    read_backbone,
)
from swin_dense.checkpoints.native import FAMILIES, RECOMPUTED, family
from swin_dense.checkpoints.position import (
    EMBEDDING,
    LOG_MLP,
    PATCH,
    TABLE,
    embedding_grid,
    resize_absolute_embedding,
    resize_bias_table,
)
from swin_dense.checkpoints.pretrained_windows import (
    first_per_stage,
    pretrained_windows,
    recorded_windows,
    stage_number,
)
from swin_dense.checkpoints.target_window import check_target_window, per_axis
from swin_dense.ops import log_coordinates, relative_index
from swin_dense.ops.grid import Grid

INDEX = 'relative_position_index'
COORDINATES = 'relative_coords_table'
# Keys of the state of a training run, which is for tensors of the old sizes.
_TRAINING = (
    'optimizer',
    'lr_scheduler',
    'param_schedulers',
    'scaler',
    'amp',
    'message_hub',
    'ema_state_dict',
)


class ResizedTensor(NamedTuple):
    """A tensor that depends on the window or the image size.

    Attributes:
        name: Name in the checkpoint.
        heads: Attention heads; 0 for an absolute embedding.
        before: Old window in tokens, or old grid of an embedding.
        after: New window, or new grid.
    """

    name: str
    heads: int
    before: Grid
    after: Grid


class Resized(NamedTuple):
    """A checkpoint for another window.

    Attributes:
        checkpoint: Checkpoint in the layout of the source.
        rows: Tensors that were resized, or log-MLPs of Swin V2 and Swin-MoE,
            which compute the bias of the new window.
        left_out: Names of buffers and keys of training state that no longer
            fit.
        metadata: Metadata to record: `window`, `from_windows`, `method`, and
            for log-MLPs `pretrained_window_sizes`.
        source: Backbone of the source.
        windows: Old windows by native name of the table. For log-MLPs,
            pretrained windows by native name of the attention module.
    """

    checkpoint: Mapping[str, Any]
    rows: list[ResizedTensor]
    left_out: list[str]
    metadata: dict[str, Any]
    source: BackboneFile
    windows: dict[str, Grid]


def resize_checkpoint(
    checkpoint: Mapping[str, Any],
    window: Sequence[int],
    *,
    method: str = 'bicubic',
    source_window: Sequence[int] | None = None,
    image_size: Sequence[int] | None = None,
    prefix: str | None = None,
    label: str = 'the checkpoint',
    allow_nonfinite: Sequence[str] = (),
) -> Resized:
    """Resize a backbone, or the one inside a whole model, to another window.

    Bias tables are resized. Swin V2 and Swin-MoE have none: their pretrained
    windows are recorded, which a model for the new window needs. Buffers that
    depend on the window are replaced by those of the new one. Masks, which
    also depend on the image size, are left out, since every model computes
    its own.

    Args:
        checkpoint: Checkpoint of any known source.
        window: New window in tokens: one number for images, or one per axis.
        method: Method to resize tables: `bicubic` or `geometric`.
        source_window: Window of the checkpoint in tokens, if it does not
            record one.
        image_size: Image size in pixels for the new checkpoint: one number,
            or height and width. An absolute embedding is resized to it, and a
            window larger than the last map is refused.
        prefix: Prefix of the names of the backbone to resize, for a
            checkpoint that holds several.
        label: Name of the checkpoint in errors.
        allow_nonfinite: Patterns of `fnmatch` for native names that may hold
            NaN or infinite values.

    Returns:
        The new checkpoint, which shares all other tensors with the source,
        and a record of the changes.

    Raises:
        CheckpointError: If weights are not floating-point or not finite.
        ValueError: If the source is unknown, the new window is impossible, or
            the window of the checkpoint is unknown.
    """
    file = read_backbone(checkpoint, prefix=prefix)
    weights = file.weights
    check_numbers(
        weights, label, allow_nonfinite=allow_nonfinite, origin=file.origin
    )
    target = check_target_window(weights, window, image_size)
    source = (
        None
        if source_window is None
        else per_axis(source_window, len(target), 'source_window')
    )
    changed: dict[str, Tensor] = {}
    rows = []
    metadata: dict[str, Any] = dict(method=method, window=list(target))

    windows = source_windows(file, source)
    for name, before in windows.items():
        stored_name, table = file.origin[name], weights[name]
        rows.append(ResizedTensor(stored_name, table.shape[1], before, target))
        changed[stored_name] = resize_bias_table(table, before, target, method)
        changed[stored_name.replace(TABLE, INDEX)] = relative_index(target)
    if any(name.endswith(LOG_MLP) for name in weights):
        windows = _log_mlp_windows(file, source)
        metadata['method'] = 'log-MLP'
        metadata['pretrained_window_sizes'] = [
            list(window) for window in first_per_stage(windows)
        ]
        for path, before in windows.items():
            stored_name = file.origin[path + LOG_MLP]
            parent = stored_name.rsplit('.', 3)[0]
            heads = len(weights[f'{path}.cpb_mlp.2.weight'])
            rows.append(ResizedTensor(stored_name, heads, before, target))
            changed[f'{parent}.{INDEX}'] = relative_index(target)
            coordinates = log_coordinates(target, before)
            # (2h - 1, 2w - 1, 2)
            changed[f'{parent}.{COORDINATES}'] = coordinates.unflatten(
                0, [2 * w - 1 for w in target]
            )
    if not rows:
        raise ValueError('has no position biases that depend on a window')
    if image_size is not None and EMBEDDING in weights:
        rows.append(_resize_embedding(file, image_size, changed))
    metadata['from_windows'] = [
        list(w) for w in dict.fromkeys(windows.values())
    ]

    left_out = [
        name
        for name in file.stored
        if name.startswith(file.recognised.prefix)
        and RECOMPUTED.search(name)
        and name not in changed
    ]
    result, training = _replace(checkpoint, file.stored, changed, left_out)
    return Resized(result, rows, left_out + training, metadata, file, windows)


def _log_mlp_windows(
    file: BackboneFile, source: Grid | None
) -> dict[str, Grid]:
    """Return the pretrained window of each attention module with a log-MLP.

    Args:
        file: Backbone of the checkpoint.
        source: Window that the caller gave, in tokens per axis.

    Raises:
        ValueError: If a window is unknown.
    """
    pretrained = pretrained_windows(file)
    nominal = recorded_windows(file.recorded)
    windows = {}
    for name in file.weights:
        if not name.endswith(LOG_MLP):
            continue
        path = name[: -len(LOG_MLP)]
        parent = file.origin[name].rsplit('.', 3)[0]
        index = file.stored.get(f'{parent}.{INDEX}')
        window = source or pretrained.get(path)
        if window is not None and not any(window):  # the window in use
            window = nominal.get(stage_number(path))
        if window is None and index is not None:
            side = isqrt(isqrt(index.numel()))
            window = (side, side)
        if window is None:
            member = FAMILIES[family(file.weights)]
            raise ValueError(
                f'is a {member} that does not say with which window it was '
                'trained: give source_window (--from-window on the command '
                'line)'
            )
        windows[path] = window
    return windows


def _resize_embedding(
    file: BackboneFile,
    image_size: Sequence[int],
    changed: dict[str, Tensor],
) -> ResizedTensor:
    """Resize the absolute embedding, keeping the order of its axes."""
    name = file.origin[EMBEDDING]
    value = file.stored[name]
    patch = file.weights[PATCH].shape[-1]
    height, width = per_axis(image_size, 2, 'image_size')
    grid = (height // patch, width // patch)
    before = embedding_grid(value)
    resized = resize_absolute_embedding(
        value, grid, None if value.ndim == 4 else before
    )
    if value.ndim == 4:
        resized = resized.mT.unflatten(2, grid).contiguous()  # (1, C, h, w)
    changed[name] = resized
    return ResizedTensor(name, 0, before, grid)


def _replace(
    checkpoint: Mapping[str, Any],
    stored: Mapping[str, Tensor],
    changed: Mapping[str, Tensor],
    left_out: Sequence[str],
) -> tuple[Mapping[str, Any], list[str]]:
    """Return a copy of a checkpoint with other tensors, in the same wrappers.

    Args:
        checkpoint: Checkpoint to copy.
        stored: All tensors of the checkpoint by name.
        changed: New tensors by name.
        left_out: Names of tensors to leave out.

    Returns:
        The copy, and the keys of training state that were left out.
    """
    new: dict[int, Tensor | None] = {
        id(stored[name]): None for name in left_out
    }
    for name, value in changed.items():
        if name in stored:
            old = stored[name]
            # Buffers are stored flat, or with leading axes of size 1.
            shape = [-1] if old.ndim == 1 else [1] * (old.ndim - value.ndim)
            shape += [] if old.ndim == 1 else list(value.shape)
            new[id(old)] = value.to(old.dtype).reshape(shape)

    def with_new(mapping: Mapping[str, Any]) -> Any:
        result: Any = copy.copy(mapping)
        for key, value in mapping.items():
            if id(value) in new:
                result[key] = new[id(value)]
                if result[key] is None:
                    del result[key]
        return result

    result = with_new(checkpoint)
    for key in ('state_dict', 'model'):
        if isinstance(result.get(key), Mapping):
            result[key] = with_new(result[key])
    training = [key for key in _TRAINING if key in result]
    for key in training:
        del result[key]
    return result, training
