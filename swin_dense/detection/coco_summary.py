"""Read the values of a COCO evaluation by name.

Every AP counts the detections of an image and class up to the largest limit of
the evaluation (`maxDets`). pycocotools counts 100 for mAP and the largest
limit for all other values. With another limit than 100, its mAP would not be
comparable to its other values, or could not be computed.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pycocotools.cocoeval import COCOeval

DEFAULT_ITEMS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
AREAS = {'s': 'small', 'm': 'medium', 'l': 'large'}


class Item(NamedTuple):
    """A value of the summary.

    Attributes:
        kind: 'AP' or 'AR'.
        limit: Largest number of detections of an image and class that count.
        iou: The IoU threshold; None for the mean over all thresholds.
        area: Name of a range of areas: 'all', 'small', 'medium' or 'large'.
    """

    kind: str
    limit: int
    iou: float | None = None
    area: str = 'all'


def _items(limits: Sequence[int]) -> dict[str, Item]:
    """Return the items of the summary by name, for ascending limits."""
    last = limits[-1]
    items = {'mAP': Item('AP', last)}
    items.update(
        (f'mAP_{iou}', Item('AP', last, iou / 100)) for iou in (50, 75)
    )
    items.update(
        (f'mAP_{key}', Item('AP', last, area=area))
        for key, area in AREAS.items()
    )
    items.update((f'AR@{limit}', Item('AR', limit)) for limit in limits)
    items.update(
        (f'AR_{key}@{last}', Item('AR', last, area=area))
        for key, area in AREAS.items()
    )
    return items


def item_names(limits: Sequence[int]) -> list[str]:
    """Return the names of all values, for the limits `proposal_nums`."""
    return [*_items(sorted(limits))]


def _value(scorer: COCOeval, item: Item) -> float:
    """Return a value in 0 to 1, or -1 if there are no objects for it."""
    area = scorer.params.areaRngLbl.index(item.area)
    limit = list(scorer.params.maxDets).index(item.limit)
    # Precision is (T, R, K, A, M), recall (T, K, A, M): IoU thresholds T,
    # recall thresholds R, classes K, areas A, limits M.
    table = scorer.eval['precision' if item.kind == 'AP' else 'recall']
    table = table[..., area, limit]  # (T, R, K) or (T, K)
    if item.iou is not None:
        table = table[np.isclose(scorer.params.iouThrs, item.iou)]
    table = table[table > -1]
    return float(table.mean()) if table.size else -1.0


def summarize(scorer: COCOeval) -> dict[str, float]:
    """Return all values of an accumulated evaluation by name.

    A value is in 0 to 1, or -1 if there are no objects for it.
    """
    return {
        name: _value(scorer, item)
        for name, item in _items(scorer.params.maxDets).items()
    }


def format_summary(scorer: COCOeval, values: dict[str, float]) -> str:
    """Return a table of the values, one per line."""
    thresholds = scorer.params.iouThrs
    lines = []
    for name, item in _items(scorer.params.maxDets).items():
        iou = (
            f'{thresholds[0]:.2f}:{thresholds[-1]:.2f}'
            if item.iou is None
            else f'{item.iou:.2f}'
        )
        value = f'{values[name]:.3f}' if values[name] >= 0 else '  n/a'
        lines.append(
            f'  {name:<10} {item.kind} @[ IoU={iou:<9} | area='
            f'{item.area:>6} | maxDets={item.limit:>4} ] = {value}'
        )
    return '\n'.join(lines)
