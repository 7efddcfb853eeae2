"""Values of a COCO evaluation by name.

All values of AP count the detections of each image and class up to the last
limit of the evaluation. pycocotools takes 100 for mAP, whatever the limit, and
the last limit for all others: with more objects in an image, mAP would be
below what its parts average to, and without a limit of 100 it would be gone.
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
        limit: Number of detections of an image and class that count.
        iou: The one IoU threshold; None for the mean over all.
        area: Name of a range of areas.
    """

    kind: str
    limit: int
    iou: float | None = None
    area: str = 'all'


def _items(limits: Sequence[int]) -> dict[str, Item]:
    """Return the values by name, for limits in ascending order."""
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
    """Return the names of all values for limits (`proposal_nums`)."""
    return [*_items(sorted(limits))]


def _value(scorer: COCOeval, item: Item) -> float:
    """Return a value in 0 to 1, or -1 if it does not exist."""
    area = scorer.params.areaRngLbl.index(item.area)
    limit = list(scorer.params.maxDets).index(item.limit)
    # (T, R, K, A, M) and (T, K, A, M): thresholds of IoU and recall, classes,
    # areas, limits.
    table = scorer.eval['precision' if item.kind == 'AP' else 'recall']
    table = table[..., area, limit]
    if item.iou is not None:
        table = table[np.isclose(scorer.params.iouThrs, item.iou)]
    table = table[table > -1]
    return float(table.mean()) if table.size else -1.0


def summarize(scorer: COCOeval) -> dict[str, float]:
    """Return all values of an accumulated evaluation; -1 if there is none."""
    return {
        name: _value(scorer, item)
        for name, item in _items(scorer.params.maxDets).items()
    }


def format_summary(scorer: COCOeval, values: dict[str, float]) -> str:
    """Return a table of the values, one a line."""
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
