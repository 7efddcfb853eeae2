"""Draw position biases of attention heads, before and after a transfer."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

_PANEL = 2.5  # inches
_DPI = 110
_SMALL = 8  # points
_LABELS = ('before', 'after')
_COLOURS = 'RdBu_r'
_BEFORE, _AFTER = '#c2571a', '#2a5c8a'


class BiasMap(NamedTuple):
    """The biases of one head for all offsets between two tokens.

    Attributes:
        title: Title of the head; may have several lines.
        before: Bias of each offset `(2h - 1, 2w - 1)` in a window `(h, w)`;
            offset zero is in the middle.
        after: Bias of each offset in another window, in the same layout.
    """

    title: str
    before: np.ndarray
    after: np.ndarray


def draw_position_bias(
    maps: Sequence[BiasMap], title: str = '', labels: tuple[str, str] = _LABELS
) -> np.ndarray:
    """Draw the bias maps of heads, and a cut through each map.

    Each column shows a head: the map before, the map after, and the biases at
    row offset 0. Both maps of a head share one colour scale with white for 0.
    Dashes in the larger map enclose the offsets of the smaller map.

    Args:
        maps: Heads from left to right.
        title: Title of the picture.
        labels: Labels of the maps before and after.

    Returns:
        The picture, (height, width, 3) uint8, BGR.

    Raises:
        ValueError: If there are no maps, or a map is not two-dimensional with
            odd sides.
    """
    if not maps:
        raise ValueError('nothing to draw: give at least one head')
    for head in maps:
        for values in (head.before, head.after):
            if values.ndim != 2 or not all(n % 2 for n in values.shape):
                raise ValueError(
                    'a map of biases must have an odd number of offsets on '
                    f'two axes, got shape {values.shape} for {head.title!r}'
                )
    width = 0.9 + len(maps) * (_PANEL + 0.65)
    figure = Figure(figsize=(width, 3 * _PANEL + 1.2), dpi=_DPI)
    canvas = FigureCanvasAgg(figure)
    figure.set_layout_engine('constrained', w_pad=0.08, h_pad=0.06)
    figure.suptitle(fill(title, int(9 * width)), fontweight='bold')
    panels = figure.subplots(3, len(maps), squeeze=False)
    for head, panel in zip(maps, panels.T):
        _draw_head(figure, panel, head)
    for axes, label in zip(panels[:, 0], labels):
        axes.annotate(
            label,
            (0, 0.5),
            (-46, 0),
            xycoords='axes fraction',
            textcoords='offset points',
            rotation=90,
            ha='center',
            va='center',
            fontweight='bold',
        )
        axes.set_ylabel('offset in tokens, rows', fontsize=_SMALL)
    panels[2, 0].set_ylabel('bias at row offset 0', fontsize=_SMALL)
    panels[2, 0].legend(
        labels,
        fontsize=_SMALL,
        frameon=False,
        loc='lower left',
        bbox_to_anchor=(0, 1),
    )
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., 2::-1])


def _draw_head(figure: Figure, panel: Any, head: BiasMap) -> None:
    """Draw a column: both maps with their colour scale, and the cut."""
    limit = max(np.abs(head.before).max(), np.abs(head.after).max()) or 1.0
    common = [min(n) for n in zip(head.before.shape, head.after.shape)]
    for axes, values in zip(panel, (head.before, head.after)):
        image = _draw_map(axes, values, limit)
        if list(values.shape) != common:
            _outline(axes, common)
    figure.colorbar(
        image, ax=list(panel[:2]), shrink=0.6, aspect=30, label='bias'
    )
    panel[0].set_title(head.title, fontsize=10)
    panel[1].set_xlabel('offset in tokens, columns', fontsize=_SMALL)
    _draw_cut(panel[2], head)


def _draw_map(axes: Any, values: np.ndarray, limit: float) -> Any:
    """Draw a heat map whose axes are offsets in tokens."""
    height, width = values.shape
    image = axes.imshow(
        values,
        cmap=_COLOURS,
        vmin=-limit,
        vmax=limit,
        interpolation='nearest',
        extent=(-width / 2, width / 2, height / 2, -height / 2),
    )
    axes.set_xticks(_ticks(width // 2))
    axes.set_yticks(_ticks(height // 2))
    axes.tick_params(labelsize=_SMALL)
    return image


def _outline(axes: Any, size: Sequence[int]) -> None:
    """Enclose the offsets of the smaller window by dashes."""
    height, width = size
    axes.add_patch(
        Rectangle(
            (-width / 2, -height / 2),
            width,
            height,
            fill=False,
            linestyle=(0, (4, 3)),
            linewidth=1,
            edgecolor='0.25',
        )
    )


def _draw_cut(axes: Any, head: BiasMap) -> None:
    """Draw the biases at row offset 0: before as points, after as a line."""
    styles = (
        dict(linestyle='none', marker='o', markersize=4, color=_BEFORE),
        dict(marker='.', markersize=5, linewidth=1.2, color=_AFTER),
    )
    for values, style in zip((head.before, head.after), styles):
        row = values[values.shape[0] // 2]
        axes.plot(np.arange(len(row)) - len(row) // 2, row, **style)
    axes.axhline(0, color='0.75', linewidth=0.8, zorder=0)
    reach = max(head.before.shape[1], head.after.shape[1]) // 2
    axes.set_xticks(_ticks(reach))
    axes.set_xlabel('offset in tokens, columns', fontsize=_SMALL)
    axes.tick_params(labelsize=_SMALL)
    axes.spines[['top', 'right']].set_visible(False)


def _ticks(reach: int) -> list[int]:
    """Return the offsets to label: both ends, the middle, and halfway."""
    half = reach // 2
    return sorted({-reach, -half, 0, half, reach})
