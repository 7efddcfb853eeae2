"""A whole checkpoint for another window, under the names that it has."""

import copy
from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Any, NamedTuple

from torch import Tensor

from swin_dense.checkpoints.adapt import source_windows
from swin_dense.checkpoints.files.metadata import metadata_of
from swin_dense.checkpoints.finite import check_numbers
from swin_dense.checkpoints.layouts.translate import (
    BackboneFile,
    convert,
    extract_state_dict,
)
from swin_dense.checkpoints.native import RECOMPUTED, family
from swin_dense.checkpoints.position import (
    EMBEDDING,
    PATCH,
    TABLE,
    resize_absolute_embedding,
    resize_bias_table,
)
from swin_dense.checkpoints.pretrained_windows import (
    LOG_MLP,
    first_per_stage,
    pretrained_windows,
    recorded_windows,
    stage_number,
)
from swin_dense.ops import log_coordinates, relative_index
from swin_dense.ops.grid import Grid

INDEX = 'relative_position_index'
COORDINATES = 'relative_coords_table'
# Tokens. A larger window is more likely meant in pixels: the largest that the
# papers use is 56.
_LARGEST = 128
# The state of a training run belongs to tensors of the old sizes.
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
    """One tensor that depends on the window or the image size.

    Attributes:
        name: As the file calls it.
        heads: Attention heads; 0 for an absolute embedding.
        before: Window in tokens, or grid of an embedding.
        after: The same after the transfer.
    """

    name: str
    heads: int
    before: Grid
    after: Grid


class Resized(NamedTuple):
    """A checkpoint for another window.

    Attributes:
        checkpoint: Of the same layout as the source.
        rows: What was resized or, of Swin V2, is evaluated anew.
        left_out: Names of buffers and training state that no longer fit.
        metadata: To be recorded: `window`, `from_windows`, `method`, and of
            Swin V2 `pretrained_window_sizes`.
        source: The backbone of the source.
        windows: Before the transfer, by native name of the table, or of the
            attention module in Swin V2, where it is what normalises offsets.
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
    label: str = 'the checkpoint',
    allow_nonfinite: Sequence[str] = (),
) -> Resized:
    """Transfer a backbone, or the one inside a whole model, to a window.

    Bias tables are resized. Swin V2 has none: it is recorded by which window
    its offsets are divided, which a model for the new window has to know.
    Buffers that say the window are made for the new one; masks, which also
    depend on the image, are left out, since every model makes its own.

    Args:
        checkpoint: In any known format.
        window: New window in tokens: one number for images, or one per axis.
        method: How tables are resized: `bicubic` or `geometric`.
        source_window: Window of the file, where it does not say.
        image_size: Size in pixels that the weights are for, one number or
            height and width. An absolute embedding is resized to it, and a
            window beyond the last map is refused.
        label: What errors call the checkpoint.
        allow_nonfinite: Patterns as of `fnmatch` for native names that may
            hold NaN or infinite numbers.

    Returns:
        The new checkpoint, which shares all other tensors with the given one,
        and what was done.

    Raises:
        CheckpointError: If numbers are of another kind, NaN or infinite.
        ValueError: If the format is not known, the window makes no sense or
            that of the file cannot be told.
    """
    stored = extract_state_dict(checkpoint)
    converted = convert(stored)
    weights = converted.state_dict
    check_numbers(
        weights,
        label,
        allow_nonfinite=allow_nonfinite,
        origin=converted.origin,
    )
    target = _check_window(weights, window, image_size)
    recorded = metadata_of(checkpoint)
    given = (
        None
        if source_window is None
        else _per_axis(source_window, len(target), 'source_window')
    )
    changed: dict[str, Tensor] = {}
    rows = []
    metadata: dict[str, Any] = dict(method=method, window=list(target))

    windows = source_windows(converted, stored, recorded, given)
    for name, before in windows.items():
        theirs = converted.origin[name]
        table = weights[name]
        rows.append(ResizedTensor(theirs, table.shape[1], before, target))
        changed[theirs] = resize_bias_table(table, before, target, method)
        changed[theirs.replace(TABLE, INDEX)] = relative_index(target)
    if any(name.endswith(LOG_MLP) for name in weights):
        windows = _units(converted, stored, recorded, given)
        metadata['method'] = 'log-MLP'
        metadata['pretrained_window_sizes'] = [
            list(window) for window in first_per_stage(windows)
        ]
        for path, before in windows.items():
            theirs = converted.origin[path + LOG_MLP]
            parent = theirs.rsplit('.', 3)[0]
            heads = len(weights[f'{path}.cpb_mlp.2.weight'])
            rows.append(ResizedTensor(theirs, heads, before, target))
            changed[f'{parent}.{INDEX}'] = relative_index(target)
            changed[f'{parent}.{COORDINATES}'] = log_coordinates(
                target, before
            ).unflatten(0, [2 * w - 1 for w in target])
    if not rows:
        raise ValueError('has no position biases that depend on a window')
    if image_size is not None and EMBEDDING in weights:
        rows.append(_resize_embedding(converted, stored, image_size, changed))
    metadata['from_windows'] = [
        list(w) for w in dict.fromkeys(windows.values())
    ]

    prefix = converted.source.prefix
    left_out = [
        name
        for name in stored
        if name.startswith(prefix)
        and RECOMPUTED.search(name)
        and name not in changed
    ]
    result, training = _replace(checkpoint, stored, changed, left_out)
    return Resized(
        result, rows, left_out + training, metadata, converted, windows
    )


def _check_window(
    weights: Mapping[str, Tensor],
    window: Sequence[int],
    image_size: Sequence[int] | None,
) -> Grid:
    """The new window per axis, if it makes sense."""
    kind = family(weights)
    if kind == 'mlp':
        raise ValueError(
            'is a Swin-MLP: its weights mix the tokens of windows of one '
            'size, and there is no transfer to another'
        )
    if len(window) == 3 and kind != 'video':
        raise ValueError(
            f'is for images, got the window {tuple(window)} of three axes: '
            'give one or two numbers; a model for clips takes the file as it '
            'is and repeats it in time (pretrained2d=True)'
        )
    target = _per_axis(window, 3 if kind == 'video' else 2, 'window')
    if min(target[-2:]) < 2 or max(target) > _LARGEST:
        raise ValueError(
            f'window must be between 2 and {_LARGEST} tokens, got {target}: '
            'it counts patches of the first map, not pixels'
        )
    if image_size is not None:
        stages = len({n.split('.')[1] for n in weights if '.blocks.' in n})
        stride = weights[PATCH].shape[-1] * 2 ** (stages - 1)
        pixels = _per_axis(image_size, 2, 'image_size')
        last = tuple(-(-size // stride) for size in pixels)
        if any(w > size for w, size in zip(target[-2:], last)):
            raise ValueError(
                f'window {target} is beyond the last map, which has {last} '
                f'tokens for images of {pixels} pixels: give a smaller '
                'window, or leave the image size out where maps are padded'
            )
    return target


def _per_axis(numbers: Sequence[int], axes: int, what: str) -> Grid:
    values = tuple(numbers)
    if len(values) == 1 and axes == 2:
        values *= 2
    if len(values) != axes or min(values) < 1:
        wanted = (
            'time, height and width'
            if axes == 3
            else ('one positive number or two, height and width')
        )
        raise ValueError(
            f'{what} must be {wanted} for these weights, got {values}'
        )
    return values


def _units(
    converted: BackboneFile,
    stored: Mapping[str, Tensor],
    recorded: Mapping[str, Any],
    given: Grid | None,
) -> dict[str, Grid]:
    """The window that normalises offsets, per attention module of V2."""
    told = pretrained_windows(converted, stored, recorded)
    trained = recorded_windows(recorded)
    units = {}
    for name in converted.state_dict:
        if not name.endswith(LOG_MLP):
            continue
        path = name[: -len(LOG_MLP)]
        parent = converted.origin[name].rsplit('.', 3)[0]
        index = stored.get(f'{parent}.{INDEX}')
        unit = given or told.get(path)
        if unit is not None and not any(unit):  # the window in use
            unit = trained.get(stage_number(path))
        if unit is None and index is not None:
            side = isqrt(isqrt(index.numel()))
            unit = (side, side)
        if unit is None:
            raise ValueError(
                'is a Swin V2 that does not say with which window it was '
                'trained: give source_window (--from-window on the command '
                'line)'
            )
        units[path] = unit
    return units


def _resize_embedding(
    converted: BackboneFile,
    stored: Mapping[str, Tensor],
    image_size: Sequence[int],
    changed: dict[str, Tensor],
) -> ResizedTensor:
    """Resize the absolute embedding, keeping the layout it is stored in."""
    name = converted.origin[EMBEDDING]
    value = stored[name]
    patch = converted.state_dict[PATCH].shape[-1]
    height, width = _per_axis(image_size, 2, 'image_size')
    grid = (height // patch, width // patch)
    side = isqrt(value.shape[1])
    before = tuple(value.shape[2:]) if value.ndim == 4 else (side, side)
    resized = resize_absolute_embedding(
        value, grid, None if value.ndim == 4 else before
    )
    if value.ndim == 4:
        resized = resized.mT.unflatten(2, grid).contiguous()
    changed[name] = resized
    return ResizedTensor(name, 0, before, grid)


def _replace(
    checkpoint: Mapping[str, Any],
    stored: Mapping[str, Tensor],
    changed: Mapping[str, Tensor],
    left_out: Sequence[str],
) -> tuple[Mapping[str, Any], list[str]]:
    """A copy of the checkpoint, whatever its wrappers, with other tensors.

    Returns:
        The copy, and what was left out as it belongs to a training run.
    """
    new: dict[int, Tensor | None] = {
        id(stored[name]): None for name in left_out
    }
    for name, value in changed.items():
        if name in stored:
            old = stored[name]
            # Buffers are stored flat, or with an axis of one in front.
            shape = [-1] if old.ndim == 1 else [1] * (old.ndim - value.ndim)
            shape += [] if old.ndim == 1 else list(value.shape)
            new[id(old)] = value.to(old.dtype).reshape(shape)

    def renew(mapping: Mapping[str, Any]) -> Any:
        renewed: Any = copy.copy(mapping)
        for key, value in mapping.items():
            if id(value) in new:
                renewed[key] = new[id(value)]
                if renewed[key] is None:
                    del renewed[key]
        return renewed

    result = renew(checkpoint)
    for key in ('state_dict', 'model'):
        if isinstance(result.get(key), Mapping):
            result[key] = renew(result[key])
    training = [key for key in _TRAINING if key in result]
    for key in training:
        del result[key]
    return result, training
