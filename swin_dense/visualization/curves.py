"""Draw the losses, learning rate and metrics of a training as curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Curve = tuple[Sequence[float], Sequence[float]]
"""Steps, and the value at each of them."""

_DPI = 110
_WIDTH, _HEIGHT = 6.0, 3.4  # inches of a panel
_LEGEND_BELOW = 12  # curves; more have no legend
_MARKED_BELOW = 40  # points; more are drawn as a plain line
_COLOURS = 10  # of matplotlib; further curves are dashed


def draw_curves(
    panels: Mapping[str, Mapping[str, Curve]],
    title: str = '',
    step_label: str = 'iteration',
) -> np.ndarray:
    """Draw panels side by side, two in a row.

    Args:
        panels: Curves by name, by the title of their panel.
        title: Title of the picture.
        step_label: Label of the horizontal axes.

    Returns:
        The picture, (height, width, 3) uint8, BGR.

    Raises:
        ValueError: If there are no panels.
    """
    if not panels:
        raise ValueError('nothing to draw: give at least one panel')
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(columns * _WIDTH, rows * _HEIGHT + 0.4), dpi=_DPI)
    canvas = FigureCanvasAgg(figure)
    figure.set_layout_engine('constrained', w_pad=0.1, h_pad=0.08)
    figure.suptitle(title, fontweight='bold')
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, curves) in zip(places, panels.items()):
        _draw_panel(axes, name, curves, step_label)
    for axes in places[len(panels) :]:
        axes.set_axis_off()
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., 2::-1])


def _draw_panel(
    axes: Any, name: str, curves: Mapping[str, Curve], step_label: str
) -> None:
    for index, (label, (steps, values)) in enumerate(curves.items()):
        marker = 'o' if len(steps) < _MARKED_BELOW else None
        style = '-' if index < _COLOURS else '--'
        axes.plot(
            steps, values, style, marker=marker, ms=3.5, lw=1.4, label=label
        )
    axes.set_title(name, fontsize=11)
    axes.set_xlabel(step_label, fontsize=9)
    axes.set_xlim(left=0)
    low, high = axes.get_ylim()
    if 0 < low < high / 2:  # near 0, relative to its range
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=9)
    if len(curves) <= _LEGEND_BELOW:
        axes.legend(fontsize=8, framealpha=0.8, edgecolor='none')
