"""Position biases of attention heads, before and after a transfer."""
from typing import Any, NamedTuple, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_PANEL = 2.5  # inches
_DPI = 110
_COLOURS = 'RdBu_r'
_BEFORE, _AFTER = '#c2571a', '#2a5c8a'


class BiasMap(NamedTuple):
    """The biases of one head for all offsets between two tokens.

    Attributes:
        title: What the head is called; may have several lines.
        before: `(2h - 1, 2w - 1)`, one value per offset; no offset is in the
            middle.
        after: The same for another window.
    """
    title: str
    before: np.ndarray
    after: np.ndarray


def draw_position_bias(
    maps: Sequence[BiasMap],
    title: str = '',
    labels: Sequence[str] = ('before', 'after')) -> np.ndarray:
    """Draw the maps of heads below each other, and a cut through both.

    A column is a head: the map before, the map after, and the biases of
    tokens in the same row. Both maps of a head share one scale of colours,
    which is centred on 0 and has the same colour for opposite biases' sizes.

    Args:
        maps: Heads, from left to right.
        title: Line above all.
        labels: What stands beside the maps before and after.

    Returns:
        The picture, (height, width, 3) uint8, BGR.

    Raises:
        ValueError: If there are no maps, or one has an axis of even size,
            which has no middle.
    """
    if not maps:
        raise ValueError('nothing to draw: give at least one head')
    for head in maps:
        for values in head.before, head.after:
            if values.ndim != 2 or not all(n % 2 for n in values.shape):
                raise ValueError(
                    'a map of biases has an odd number of offsets on two '
                    f'axes, got shape {values.shape} for {head.title!r}')
    width = 0.9 + len(maps) * (_PANEL + 0.65)
    figure = Figure(figsize=(width, 3 * _PANEL + 1.2), dpi=_DPI)
    canvas = FigureCanvasAgg(figure)
    figure.set_layout_engine('constrained', w_pad=0.08, h_pad=0.06)
    figure.suptitle(title, fontsize=12, fontweight='bold')
    panels = figure.subplots(3, len(maps), squeeze=False)
    for column, (head, panel) in enumerate(zip(maps, panels.T)):
        limit = max(np.abs(head.before).max(), np.abs(head.after).max()) or 1.
        first = column == 0
        for axes, values, label in zip(panel, head[1:], labels):
            image = _draw_map(axes, values, limit)
            if first:
                axes.set_ylabel(f'{label}\n\nrows', fontsize=9)
        figure.colorbar(image, ax=list(panel[:2]), shrink=0.6, aspect=30)
        panel[0].set_title(head.title, fontsize=10)
        panel[1].set_xlabel('offset in tokens, columns', fontsize=8)
        _draw_cut(panel[2], head, limit, labels)
        if first:
            panel[2].set_ylabel('bias in the same row', fontsize=9)
            panel[2].legend(fontsize=8, frameon=False)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., 2::-1])


def _draw_map(axes: Any, values: np.ndarray, limit: float) -> Any:
    """A heat map whose axes are offsets in tokens."""
    reach = [n / 2 for n in values.shape]
    image = axes.imshow(
        values,
        cmap=_COLOURS,
        vmin=-limit,
        vmax=limit,
        interpolation='nearest',
        extent=(-reach[1], reach[1], reach[0], -reach[0]))
    for axis, size in ((axes.xaxis, values.shape[1]), (axes.yaxis,
                                                       values.shape[0])):
        axis.set_ticks(_ticks(size // 2))
    axes.tick_params(labelsize=8)
    return image


def _draw_cut(axes: Any, head: BiasMap, limit: float,
              labels: Sequence[str]) -> None:
    """Biases of tokens in one row, before as points and after as a line."""
    styles = (dict(linestyle='none', marker='o', markersize=4, color=_BEFORE),
              dict(marker='.', markersize=5, linewidth=1.2, color=_AFTER))
    for values, label, style in zip(head[1:], labels, styles):
        row = values[values.shape[0] // 2]
        offsets = np.arange(len(row)) - len(row) // 2
        axes.plot(offsets, row, label=label, **style)
    axes.axhline(0, color='0.8', linewidth=0.8, zorder=0)
    axes.set_ylim(-1.08 * limit, 1.08 * limit)
    axes.set_xticks(
        _ticks(max(head.before.shape[1], head.after.shape[1]) // 2))
    axes.set_xlabel('offset in tokens, columns', fontsize=8)
    axes.tick_params(labelsize=8)
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)


def _ticks(reach: int) -> list[int]:
    """Offsets to label: the ends, the middle, and halfway."""
    half = reach // 2
    return sorted({-reach, -half, 0, half, reach})
