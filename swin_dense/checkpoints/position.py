"""Resize position biases and embeddings to other windows and image sizes.

Both are resized on the stored grid, bicubically as in the official code or by
positions in geometric progression, and computed in float64.

Letters in shapes: M window, N tokens, C channels.
"""

from math import isqrt, prod
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.checkpoints.interpolation import resize_grid
from swin_dense.checkpoints.windows import find_window
from swin_dense.ops.grid import Grid, format_size

IntOrGrid = int | Grid
TABLE = 'relative_position_bias_table'
EMBEDDING = 'absolute_pos_embed'
PATCH = 'patch_embed.proj.weight'
SPATIAL = '.spatial_mlp.weight'
LOG_MLP = '.cpb_mlp.0.weight'


class Resize(NamedTuple):
    """A resizing of a tensor.

    Attributes:
        what: Kind of tensor and both sizes, as text.
        method: `bicubic` or `geometric`.
    """

    what: str
    method: str


def resize_bias_table(
    table: Tensor,
    source_window: IntOrGrid,
    target_window: IntOrGrid,
    method: str = 'bicubic',
) -> Tensor:
    """Resize a table of relative position biases (Swin V1 and video).

    Each head is resized separately, one axis after the other. For images this
    is the official bicubic interpolation. For clips the official code resizes
    height and width only; here time is resized in the same way.

    Args:
        table: Table `(rows, heads)`, one row per offset of the source window:
            the product of 2M - 1 over its axes.
        source_window: Window of the table in tokens: M for a square, or one
            number per axis.
        target_window: New window in tokens.
        method: `bicubic` or `geometric`.

    Returns:
        Table `(new rows, heads)` for the target window, in the same type; the
        table itself if the windows are equal.

    Raises:
        ValueError: If the table has not as many rows as the source window
            has offsets, or there is no such method.
    """
    source, target = _offsets(source_window), _offsets(target_window)
    if table.ndim != 2 or len(table) != prod(source):
        raise ValueError(
            f'a bias table for windows of {source_window} has '
            f'{prod(source)} rows and a column for each head, got shape '
            f'{tuple(table.shape)}: give the window it was trained with'
        )
    if len(source) != len(target):
        raise ValueError(
            f'a bias table for windows of {source_window} cannot become one '
            f'for {target_window}, which have another number of axes'
        )
    if source == target:
        return table
    grid = table.unflatten(0, source)  # (*source, heads)
    grid = resize_grid(grid, target, method)  # (*target, heads)
    return grid.flatten(0, -2)  # (prod(target), heads)


def resize_absolute_embedding(
    embedding: Tensor, target_grid: Grid, source_grid: Grid | None = None
) -> Tensor:
    """Resize an absolute position embedding bicubically.

    Args:
        embedding: Embedding `(1, N, C)`, or `(1, C, h, w)` as in the official
            dense code.
        target_grid: New grid (height, width), in tokens.
        source_grid: Grid of an embedding `(1, N, C)`; by default the target
            grid if N fits it, else a square.

    Returns:
        Embedding `(1, N, C)` for the target grid, in the same type.

    Raises:
        ValueError: If N is not the number of tokens of the source grid.
    """
    if embedding.ndim == 4:
        source_grid = tuple(embedding.shape[2:])
        embedding = embedding.flatten(2).transpose(1, 2)  # (1, N, C)
    tokens = embedding.shape[1]
    if source_grid is None:
        fits = tokens == prod(target_grid)
        source_grid = target_grid if fits else embedding_grid(embedding)
    if embedding.ndim != 3 or prod(source_grid) != tokens:
        raise ValueError(
            f'an absolute embedding (1, N, C) for {source_grid} tokens has '
            f'N = {prod(source_grid)}, got shape {tuple(embedding.shape)}: '
            'give the source_grid it was made for'
        )
    if tuple(source_grid) == tuple(target_grid):
        return embedding
    grid = embedding[0].unflatten(0, source_grid)  # (h, w, C)
    grid = resize_grid(grid, target_grid, 'bicubic')
    return grid.flatten(0, 1)[None]  # (1, N, C)


def embedding_grid(embedding: Tensor) -> Grid:
    """Return the grid (height, width) of an absolute embedding, in tokens.

    Args:
        embedding: Embedding `(1, C, h, w)` as in the official dense code, or
            `(1, N, C)`, whose grid is taken for a square.
    """
    if embedding.ndim == 4:
        return tuple(embedding.shape[2:])
    side = isqrt(embedding.shape[1])
    return side, side


def inflate(
    state_dict: dict[str, Tensor], depth: int, patch_depth: int
) -> dict[str, Tensor]:
    """Turn weights for images into weights for clips.

    Video Swin paper, section 3.3. A clip of equal frames then has the
    features of the image: all offsets in time have the bias of offset 0, and
    the patch embedding averages over frames. The log-MLP of Swin V2 gets an
    input for offsets in time, with weights of 0.

    Args:
        state_dict: Swin V1 or V2 backbone for images, in native names.
        depth: Window in time, in tokens.
        patch_depth: Patch in time, in frames.

    Returns:
        State_dict of the backbone for clips, with windows `(depth, h, w)`.
    """
    inflated = {}
    for name, value in state_dict.items():
        if name == PATCH:
            # (C, 3, p, p), then (C, 3, patch_depth, p, p)
            value = value[:, :, None].expand(-1, -1, patch_depth, -1, -1)
            value = value / patch_depth
        elif name.endswith(TABLE):
            value = value.repeat(2 * depth - 1, 1)  # (rows, heads)
        elif name.endswith(LOG_MLP):
            value = F.pad(value, (1, 0))  # (hidden, 3)
        inflated[name] = value
    return inflated


def fit_position(
    model: nn.Module,
    name: str,
    value: Tensor,
    method: str = 'bicubic',
    source_window: Grid | None = None,
) -> tuple[Tensor, Resize | None]:
    """Resize a tensor of a checkpoint if it depends on window or image size.

    Args:
        model: Backbone, whose modules have the new windows and grid.
        name: Native name of a parameter of the model.
        value: Tensor of that name in the checkpoint.
        method: Method to resize bias tables: `bicubic` or `geometric`.
        source_window: Window of a bias table, in tokens per axis; by default
            the one that `find_window` derives from its rows.

    Returns:
        The tensor for the model, and the resizing, or None if the tensor is
        unchanged. A tensor of another number of heads or channels is not
        changed either: the caller will find that it does not fit.

    Raises:
        ValueError: If a bias table fits no window, or several, or if the
            tensor mixes the tokens of another window (Swin-MLP).
    """
    path, _, leaf = name.rpartition('.')
    module: Any = model.get_submodule(path)
    parameter = getattr(module, leaf)
    if name.endswith(SPATIAL) and value.shape[1:] != parameter.shape[1:]:
        raise ValueError(_another_window(name, value, module.window_size))
    if leaf == TABLE and value.shape[1:] == parameter.shape[1:]:
        target = tuple(module.window_size)
        if source_window is None:
            source_window = find_window(
                len(value), len(target), expected=target
            )
        source = tuple(source_window)
        if source == target:
            return value, None
        change = _change(_offsets(source), _offsets(target))
        return (
            resize_bias_table(value, source, target, method),
            Resize(f'bias tables {change}', method),
        )
    if leaf == EMBEDDING and value.shape != parameter.shape:
        # (1, N, C)
        embedding = value.flatten(2).mT if value.ndim == 4 else value
        source = embedding_grid(value)
        target = module.pretrain_grid
        if embedding.shape[1:] != (prod(source), parameter.shape[2]):
            return value, None
        resized = resize_absolute_embedding(embedding, target, source)
        if source == target:
            return resized, None
        change = _change(source, target)
        return resized, Resize(f'absolute embedding {change}', 'bicubic')
    return value, None


def _another_window(name: str, value: Tensor, window: Grid) -> str:
    """Explain why the weights of a `SpatialMLP` fit no other window."""
    tokens = value.shape[1]
    side = isqrt(tokens)
    is_square = side**2 == tokens
    window_in_file = (
        format_size((side, side)) if is_square else f'{tokens} tokens'
    )
    set_window = f'window_size={side}' if is_square else 'that window'
    return (
        f'{name} mixes the tokens of windows of {window_in_file}, the model '
        f'has windows of {format_size(window)}. A weight for each pair of '
        'tokens cannot be resized as a bias table can: give the model '
        f'{set_window}, or take a checkpoint for its window'
    )


def _change(source: Grid, target: Grid) -> str:
    """Return both sizes as text."""
    return f'{format_size(source)} -> {format_size(target)}'


def _offsets(window: IntOrGrid) -> Grid:
    """Return the number of relative offsets on each axis of a window."""
    axes = (window, window) if isinstance(window, int) else tuple(window)
    return tuple(2 * size - 1 for size in axes)
