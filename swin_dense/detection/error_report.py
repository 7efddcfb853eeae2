"""Report the errors of a detector: tables, and pictures of the worst."""

from typing import Any

import numpy as np

from swin_dense.detection.error_kinds import KINDS, Detection, Errors
from swin_dense.visualization.error_sheet import ErrorTile

SHOWN = 6  # errors in a row of a picture


def share_table(errors: Errors) -> str:
    """Return a table with count, share and weight of each kind."""
    counts, gains = errors.counts(), errors.gains()
    total = max(1, sum(counts.values()))
    plain = errors.average_precision()
    mean = float(np.mean([*plain.values()])) if plain else float('nan')
    lines = [
        f'  {"error":<15} {"count":>8} {"share":>7} {"AP50 if mended":>15}'
    ]
    for kind in KINDS:
        lines.append(
            f'  {kind:<15} {counts[kind]:>8} {counts[kind] / total:>7.1%} '
            f'{_signed(gains[kind]):>15}'
        )
    lines.append(f'  AP50 as it is {_plain(mean)}')
    return '\n'.join(lines)


def class_error_table(errors: Errors) -> str:
    """Return a table with the count of each kind of error by class."""
    width = max(5, *(len(name) for name in errors.categories.values()))
    heads = ''.join(f'{kind:>16}' for kind in KINDS)
    lines = [f'  {"class":<{width}}   AP50{heads}']
    precision = errors.average_precision()
    for category, name in errors.categories.items():
        counts = errors.counts(category)
        cells = ''.join(f'{counts[kind]:>16}' for kind in KINDS)
        value = _plain(precision.get(category, float('nan')))
        lines.append(f'  {name:<{width}}  {value:>5}{cells}')
    return '\n'.join(lines)


def to_dict(errors: Errors) -> dict[str, Any]:
    """Return counts and weights for JSON; None where there is no truth."""
    precision = errors.average_precision()
    return dict(
        AP50=float(np.mean([*precision.values()])) if precision else None,
        counts=errors.counts(),
        gains=errors.gains(),
        classes={
            name: dict(
                AP50=precision.get(category), counts=errors.counts(category)
            )
            for category, name in errors.categories.items()
        },
    )


def worst(errors: Errors, category: int) -> list[tuple[str, list[ErrorTile]]]:
    """Return the worst errors of a class, for `draw_errors`.

    These are the false positives and the confusions of the highest score, and
    the largest objects that are missed.
    """
    names = errors.categories
    own = [e for e in errors.detections if e.category == category]
    false = [
        e
        for e in own
        if e.kind in ('localisation', 'both', 'duplicate', 'background')
    ]
    confused = [
        e
        for e in errors.detections
        if e.kind == 'classification'
        and category in (e.category, _target(errors, e, 'category'))
    ]
    missed = sorted(
        (t for t in errors.objects if t.is_missed and t.category == category),
        key=lambda thing: -thing.area,
    )
    return [
        (
            'false positives, the highest score first',
            [
                ErrorTile(
                    e.image,
                    [f'{e.score:.2f}, {e.kind}', f'IoU {e.iou:.2f}'],
                    e.shape,
                    _target(errors, e, 'shape'),
                )
                for e in false[:SHOWN]
            ],
        ),
        (
            'confusions, the highest score first',
            [
                ErrorTile(
                    e.image,
                    [
                        f'{names[e.category]} {e.score:.2f}',
                        f'truth: {names[_target(errors, e, "category")]}',
                    ],
                    e.shape,
                    _target(errors, e, 'shape'),
                )
                for e in confused[:SHOWN]
            ],
        ),
        (
            'missed, the largest first',
            [
                ErrorTile(
                    thing.image,
                    [f'{np.prod(thing.shape[2:]) ** 0.5:.0f} pixels wide'],
                    None,
                    thing.shape,
                )
                for thing in missed[:SHOWN]
            ],
        ),
    ]


def _target(errors: Errors, entry: Detection, name: str) -> Any:
    """Return an attribute of the object that a detection is about."""
    if entry.target is None:
        return None
    return getattr(errors.objects[entry.target], name)


def _signed(value: float) -> str:
    return 'n/a' if np.isnan(value) else f'{value:+.3f}'


def _plain(value: float) -> str:
    return 'n/a' if np.isnan(value) else f'{value:.3f}'
