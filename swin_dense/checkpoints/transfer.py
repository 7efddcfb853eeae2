"""Position biases and embeddings for other windows and image sizes.

Both are resized by bicubic interpolation of the stored grid, as the official
code does, but computed in float64.

M is the window, N the number of tokens, C channels.
"""
from math import isqrt, prod
from typing import Any, Optional, Union

import torch.nn.functional as F
from torch import Tensor, nn

Grid = tuple[int, ...]
IntOrGrid = Union[int, Grid]


def table_window(rows: int) -> Optional[int]:
    """The square window that a bias table of so many rows belongs to.

    Returns:
        M where there are `(2M - 1) ** 2` rows, else None.
    """
    side = isqrt(rows)
    return (side + 1) // 2 if side**2 == rows and side % 2 else None


def resize_bias_table(table: Tensor, source_window: IntOrGrid,
                      target_window: IntOrGrid) -> Tensor:
    """Resize a table of relative position biases (Swin V1).

    Args:
        table: `((2h - 1) * (2w - 1), heads)`, one row per offset, for the
            source window.
        source_window: Window of the table in tokens, M or (h, w).
        target_window: Window that it is wanted for.

    Returns:
        The table for the target window, in the same type; the table itself
        where the windows are equal.

    Raises:
        ValueError: If the table has not as many rows as the source window
            has offsets.
    """
    source, target = _offsets(source_window), _offsets(target_window)
    if table.ndim != 2 or len(table) != prod(source):
        raise ValueError(
            f'a bias table for windows of {source_window} has '
            f'{prod(source)} rows and a column for each head, got shape '
            f'{tuple(table.shape)}: give the window it was trained with')
    if source == target:
        return table
    return _resize(table.unflatten(0, source), target).flatten(0, 1)


def resize_absolute_embedding(embedding: Tensor,
                              target_grid: Grid,
                              source_grid: Optional[Grid] = None) -> Tensor:
    """Resize an absolute position embedding.

    Args:
        embedding: `(1, N, C)`, or `(1, C, h, w)` as in the official dense
            code.
        target_grid: Grid (height, width) that it is wanted for, in tokens.
        source_grid: Grid that `(1, N, C)` was made for; by default the
            target's where N fits, else a square.

    Returns:
        `(1, N, C)` for the target grid, in the same type.

    Raises:
        ValueError: If N does not make the source grid.
    """
    if embedding.ndim == 4:
        source_grid = tuple(embedding.shape[2:])
        embedding = embedding.flatten(2).transpose(1, 2)
    tokens = embedding.shape[1]
    if source_grid is None:
        fits = tokens == prod(target_grid)
        source_grid = target_grid if fits else (isqrt(tokens), isqrt(tokens))
    if embedding.ndim != 3 or prod(source_grid) != tokens:
        raise ValueError(
            f'an absolute embedding (1, N, C) for {source_grid} tokens has '
            f'N = {prod(source_grid)}, got shape {tuple(embedding.shape)}: '
            'give the source_grid it was made for')
    if tuple(source_grid) == tuple(target_grid):
        return embedding
    grid = embedding[0].unflatten(0, source_grid)
    return _resize(grid, target_grid).flatten(0, 1)[None]


def fit_position(model: nn.Module, name: str,
                 value: Tensor) -> tuple[Tensor, str]:
    """Resize a value of a checkpoint if it depends on window or image size.

    Args:
        model: Backbone; its parts say what window or grid they have.
        name: Native name that exists in the model.
        value: What the checkpoint has under it.

    Returns:
        The value for the model, and what was resized to what. The value as
        it is, and '', where nothing has to be done, or can be: another number
        of heads or channels is left for the caller to find.
    """
    path, _, leaf = name.rpartition('.')
    part: Any = model.get_submodule(path)
    own = getattr(part, leaf)
    if value.shape == own.shape:
        return value, ''
    if leaf == 'relative_position_bias_table':
        window = table_window(len(value))
        if window and value.shape[1:] == own.shape[1:]:
            target = part.window_size
            change = _change(_offsets(window), _offsets(target))
            return (resize_bias_table(value, window,
                                      target), f'bias tables {change}')
    elif leaf == 'absolute_pos_embed':
        stored = value.flatten(2).mT if value.ndim == 4 else value
        side = isqrt(stored.shape[1])
        source = tuple(value.shape[2:]) if value.ndim == 4 else (side, side)
        if stored.shape[1:] == (prod(source), own.shape[2]):
            change = _change(source, part.pretrain_grid)
            return (resize_absolute_embedding(stored, part.pretrain_grid,
                                              source), change
                    and f'absolute embedding {change}')
    return value, ''


def _change(source: Grid, target: Grid) -> str:
    """Both sizes, or nothing where they are equal."""
    if source == target:
        return ''
    return ' -> '.join('x'.join(map(str, grid)) for grid in (source, target))


def _offsets(window: IntOrGrid) -> Grid:
    """Relative offsets per axis of a window."""
    axes = (window, window) if isinstance(window, int) else tuple(window)
    return tuple(2 * size - 1 for size in axes)


def _resize(grid: Tensor, size: Grid) -> Tensor:
    """Bicubic interpolation of a channels-last grid `(h, w, C)`."""
    resized = F.interpolate(
        grid.movedim(-1, 0)[None].double(),
        size=tuple(size),
        mode='bicubic',
        align_corners=False)
    return resized[0].movedim(0, -1).to(grid.dtype)
