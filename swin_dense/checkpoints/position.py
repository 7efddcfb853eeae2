"""Position biases and embeddings for other windows and image sizes.

Both are resized on the stored grid, bicubically as the official code does or
by positions in geometric progression, and computed in float64.

M is the window, N the number of tokens, C channels.
"""

from math import isqrt, prod
from typing import Any, NamedTuple

from torch import Tensor, nn

from swin_dense.checkpoints.interpolation import resize_grid
from swin_dense.checkpoints.windows import find_window
from swin_dense.ops.grid import Grid, format_size

IntOrGrid = int | Grid
TABLE = 'relative_position_bias_table'
EMBEDDING = 'absolute_pos_embed'
PATCH = 'patch_embed.proj.weight'


class Resize(NamedTuple):
    """What was resized from what to what, and by which method."""

    what: str
    method: str


def resize_bias_table(
    table: Tensor,
    source_window: IntOrGrid,
    target_window: IntOrGrid,
    method: str = 'bicubic',
) -> Tensor:
    """Resize a table of relative position biases (Swin V1 and video).

    Each head is resized alone, and one axis after the other: for images this
    is the official bicubic interpolation. For clips the official code resizes
    height and width alone; time is resized here in the same way.

    Args:
        table: `(rows, heads)`, one row per offset of the source window: the
            product of 2M - 1 over its axes.
        source_window: Window of the table in tokens, M for a square or one
            number per axis.
        target_window: Window that it is wanted for.
        method: `bicubic` or `geometric`.

    Returns:
        The table for the target window, in the same type; the table itself
        where the windows are equal.

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
    grid = table.unflatten(0, source)
    return resize_grid(grid, target, method).flatten(0, -2)


def resize_absolute_embedding(
    embedding: Tensor, target_grid: Grid, source_grid: Grid | None = None
) -> Tensor:
    """Resize an absolute position embedding, bicubically.

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
            'give the source_grid it was made for'
        )
    if tuple(source_grid) == tuple(target_grid):
        return embedding
    grid = embedding[0].unflatten(0, source_grid)
    return resize_grid(grid, target_grid, 'bicubic').flatten(0, 1)[None]


def inflate(
    state_dict: dict[str, Tensor], depth: int, patch_depth: int
) -> dict[str, Tensor]:
    """Make weights for clips of weights for images (Video Swin, section 3.3).

    A clip of equal frames then gives what the image gave: each step in time
    has the bias of none, and the patch embedding averages over frames.

    Args:
        state_dict: A V1 backbone for images, in native names.
        depth: Window in time, in tokens.
        patch_depth: Patch in time, in frames.

    Returns:
        The backbone for clips, with windows of `(depth, h, w)`.
    """
    inflated = {}
    for name, value in state_dict.items():
        if name == PATCH:
            value = value[:, :, None].expand(-1, -1, patch_depth, -1, -1)
            value = value / patch_depth
        elif name.endswith(TABLE):
            value = value.repeat(2 * depth - 1, 1)
        inflated[name] = value
    return inflated


def fit_position(
    model: nn.Module,
    name: str,
    value: Tensor,
    method: str = 'bicubic',
    source_window: Grid | None = None,
) -> tuple[Tensor, Resize | None]:
    """Resize a value of a checkpoint if it depends on window or image size.

    Args:
        model: Backbone; its parts say what window or grid they have.
        name: Native name that exists in the model.
        value: What the checkpoint has under it.
        method: How bias tables are resized: `bicubic` or `geometric`.
        source_window: Window of a bias table; by default what
            `find_window` makes of its rows.

    Returns:
        The value for the model, and what was resized, if anything. The value
        as it is where nothing has to be done, or can be: another number of
        heads or channels is left for the caller to find.

    Raises:
        ValueError: If the table fits no window, or several.
    """
    path, _, leaf = name.rpartition('.')
    part: Any = model.get_submodule(path)
    own = getattr(part, leaf)
    if leaf == TABLE and value.shape[1:] == own.shape[1:]:
        target = tuple(part.window_size)
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
    if leaf == EMBEDDING and value.shape != own.shape:
        stored = value.flatten(2).mT if value.ndim == 4 else value
        side = isqrt(stored.shape[1])
        source = tuple(value.shape[2:]) if value.ndim == 4 else (side, side)
        target = part.pretrain_grid
        if stored.shape[1:] != (prod(source), own.shape[2]):
            return value, None
        resized = resize_absolute_embedding(stored, target, source)
        if source == target:
            return resized, None
        change = _change(source, target)
        return resized, Resize(f'absolute embedding {change}', 'bicubic')
    return value, None


def _change(source: Grid, target: Grid) -> str:
    """Both sizes."""
    return f'{format_size(source)} -> {format_size(target)}'


def _offsets(window: IntOrGrid) -> Grid:
    """Relative offsets per axis of a window."""
    axes = (window, window) if isinstance(window, int) else tuple(window)
    return tuple(2 * size - 1 for size in axes)
