"""Draw precision over recall, and confusion matrices."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from swin_dense.visualization.palette import Colour, colours

_DPI = 130
_NAMED = 10  # curves with a colour and a name
_WITH_NUMBERS = 20  # classes up to which a matrix has numbers
_GREY = '#c4c8ce'


def draw_precision_recall(
    precision: np.ndarray,
    recall: np.ndarray,
    names: Sequence[str],
    title: str = '',
    tints: Sequence[Colour] | None = None,
) -> np.ndarray:
    """Draw a curve for each class, and the mean of all classes.

    Args:
        precision: Precision of each class at each recall (K, R), 0 to 1; NaN
            for classes without objects.
        recall: Recall (R,), 0 to 1.
        names: Class names (K).
        title: Title of the picture.
        tints: Colours of the classes (K) as (blue, green, red); those of
            `class_colour` for the labels 0 to K - 1 if None.

    Returns:
        The picture (height, width, 3), BGR, uint8. The best ten classes have
        a colour, and their names and AP in the legend.
    """
    tints = tints or colours(len(names))
    known = np.flatnonzero(~np.isnan(precision).any(1))
    scores = precision.mean(1)
    order = known[np.argsort(-scores[known], kind='stable')].tolist()
    figure, axes = _figure(7.6, 5.2, title)
    for rank, index in reversed([*enumerate(order)]):
        is_named = rank < _NAMED
        blue, green, red = (value / 255 for value in tints[index])
        axes.plot(
            recall,
            precision[index],
            color=(red, green, blue) if is_named else _GREY,
            linewidth=1.6 if is_named else 0.8,
            label=f'{names[index]}  {scores[index]:.3f}' if is_named else None,
        )
    if len(order) > 1:
        mean = precision[known].mean(0)
        axes.plot(
            recall,
            mean,
            color='#1b1f24',
            linewidth=3,
            label=f'all {len(known)} classes  {mean.mean():.3f}',
        )
    axes.set(xlabel='recall', ylabel='precision', xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(color='#e8eaed')
    axes.spines[['top', 'right']].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1],
        labels[::-1],
        frameon=False,
        loc='upper left',
        bbox_to_anchor=(1.01, 1),
        title='AP',
        alignment='left',
    )
    return _pixels(figure)


def draw_confusion(
    counts: np.ndarray,
    names: Sequence[str],
    title: str = '',
    has_background: bool = True,
) -> np.ndarray:
    """Draw a confusion matrix, each row as shares of its objects.

    Args:
        counts: Objects of each class that were detected as each class
            (K + 1, K + 1): truth down, prediction across. The last row is
            background that was detected as a class, the last column objects
            that were missed.
        names: Class names (K).
        title: Title of the picture.
        has_background: If False, there is neither background nor a missed
            object, as in segmentation and for clips: counts are (K, K).

    Returns:
        The picture (height, width, 3), BGR, uint8. The row of the background
        shows its shares of all detections in the background.
    """
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    size = len(names) + has_background
    side = float(np.clip(1.6 + 0.42 * size, 4.2, 14))
    figure, axes = _figure(side + 1, side, title)
    image = axes.imshow(shares, cmap='Blues', vmin=0, vmax=1)
    small = float(np.clip(170 / size, 4, 9))
    axes.set_xticks(
        range(size),
        [*names, 'missed'][:size],
        rotation=90 if size > 6 else 0,
        fontsize=small,
    )
    axes.set_yticks(range(size), [*names, 'background'][:size], fontsize=small)
    axes.set(xlabel='prediction', ylabel='truth')
    if size <= _WITH_NUMBERS:
        for row, column in np.argwhere(counts):
            axes.text(
                column,
                row,
                f'{shares[row, column]:.2f}\n({int(counts[row, column])})',
                ha='center',
                va='center',
                fontsize=0.85 * small,
                color='white' if shares[row, column] > 0.55 else '#1b1f24',
            )
    axes.spines[:].set_visible(False)
    figure.colorbar(image, fraction=0.04, pad=0.02).outline.set_visible(False)
    return _pixels(figure)


def _figure(width: float, height: float, title: str) -> tuple[Figure, Any]:
    """Return a figure of a size in inches, and its axes."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(title, fontweight='bold', fontsize=11, loc='left')
    return figure, axes


def _pixels(figure: Figure) -> np.ndarray:
    """Return a figure as a picture (height, width, 3), BGR, uint8."""
    canvas: Any = figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., 2::-1].copy()
