"""Sort the errors of a detector into kinds, and weigh each kind by AP.

The kinds are those of TIDE (Bolya et al., ECCV 2020, arXiv 2008.08115): a
detection that is wrong is wrong in its class, its place, both, a duplicate, or
on the background; an object that no such detection explains is missed. The
weight of a kind is the AP that is gained if it alone is set right.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

RIGHT, IGNORED = 'right', 'ignored'
KINDS = (
    'classification',
    'localisation',
    'both',
    'duplicate',
    'background',
    'missed',
)
FOREGROUND, BACKGROUND = 0.5, 0.1  # IoU
RECALLS = np.linspace(0, 1, 101)  # at which COCO reads the precision


@dataclass
class Detection:
    """A detection and what it was.

    Attributes:
        image: Image id.
        category: Its category id.
        score: Its score.
        shape: Box (x, y, w, h), in pixels.
        kind: 'right', 'ignored' (in a crowd) or one of `KINDS`.
        target: Number of the object that it found, or should have found; None
            for 'both' and 'background'.
        iou: IoU with that object, or the largest with any.
    """

    image: Any
    category: int
    score: float
    shape: Sequence[float]
    kind: str = 'background'
    target: int | None = None
    iou: float = 0.0


@dataclass
class Object:
    """An object of the truth.

    Attributes:
        image: Image id.
        category: Its category id.
        shape: Box (x, y, w, h), in pixels.
        area: Its area in pixels.
        is_found: True if a detection is right about it.
        is_missed: True if it is not found, and no detection of the kinds
            'classification' and 'localisation' would have found it.
    """

    image: Any
    category: int
    shape: Sequence[float]
    area: float
    is_found: bool = False
    is_missed: bool = False


@dataclass
class Errors:
    """All detections and objects of an evaluation.

    Attributes:
        detections: The detections, the highest score first.
        objects: The objects without crowds.
        categories: Names by category id.
    """

    detections: list[Detection] = field(default_factory=list)
    objects: list[Object] = field(default_factory=list)
    categories: dict[int, str] = field(default_factory=dict)

    def counts(self, category: int | None = None) -> dict[str, int]:
        """Count the errors of each kind, of one class or of all."""
        counts = dict.fromkeys(KINDS, 0)
        for entry in self.detections:
            if category in (None, entry.category) and entry.kind in counts:
                counts[entry.kind] += 1
        counts['missed'] = sum(
            entry.is_missed and category in (None, entry.category)
            for entry in self.objects
        )
        return counts

    def average_precision(self, mended: str = '') -> dict[int, float]:
        """Return the AP of each class with objects, at the IoU of a match.

        Args:
            mended: Kind of error that is set right; '' for none. A wrong
                class or place is made right, unless a better detection has
                the object; detections of other kinds are removed, and missed
                objects are not asked for.
        """
        asked = dict.fromkeys(self.categories, 0)
        for thing in self.objects:
            if not (mended == 'missed' and thing.is_missed):
                asked[thing.category] += 1
        hits: dict[int, list[bool]] = {name: [] for name in self.categories}
        has_mended = mended in ('classification', 'localisation')
        taken = {
            entry.target for entry in self.detections if entry.kind == RIGHT
        }
        for entry in self.detections:
            if entry.kind == RIGHT:
                hits[entry.category].append(True)
            elif entry.kind == mended and has_mended:
                if entry.target is not None and entry.target not in taken:
                    taken.add(entry.target)
                    category = self.objects[entry.target].category
                    hits[category].append(True)
            elif entry.kind not in (mended, IGNORED):
                hits[entry.category].append(False)
        return {
            category: precision_area(hits[category], count)
            for category, count in asked.items()
            if count
        }

    def gains(self) -> dict[str, float]:
        """Return the mean AP that setting each kind right would add."""
        plain = _mean(self.average_precision())
        return {
            kind: _mean(self.average_precision(kind)) - plain for kind in KINDS
        }


def _mean(values: Mapping[int, float]) -> float:
    return float(np.mean([*values.values()])) if values else float('nan')


def precision_area(hits: Sequence[bool], count: int) -> float:
    """Return the AP of a class as COCO computes it.

    Args:
        hits: For each detection, the highest score first, True if it is
            right.
        count: Number of objects, at least 1.
    """
    if not hits:
        return 0.0
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(right / count, RECALLS, side='left')
    reached = precision[places.clip(0, len(hits) - 1)]
    return float(np.where(places < len(hits), reached, 0).mean())


def sort_errors(
    truth: Any,
    found: Any,
    *,
    kind: str = 'bbox',
    categories: Sequence[int] | None = None,
    images: Sequence[Any] | None = None,
    limit: int = 100,
) -> Errors:
    """Compare detections with objects, image by image.

    Args:
        truth: COCO API of the truth.
        found: COCO API of the detections.
        kind: 'bbox' or 'segm'.
        categories: Category ids that count; all by default.
        images: Image ids that count; all by default.
        limit: Number of detections of an image and class that count, the
            best first.
    """
    names = {c['id']: c['name'] for c in truth.dataset['categories']}
    chosen = [*names] if categories is None else [*categories]
    errors = Errors(categories={id_: names[id_] for id_ in chosen})
    for image in truth.imgs if images is None else images:
        _sort_image(errors, truth, found, image, kind, limit)
    errors.detections.sort(key=lambda entry: -entry.score)
    explained = {
        entry.target
        for entry in errors.detections
        if entry.kind in ('classification', 'localisation')
    }
    for number, thing in enumerate(errors.objects):
        thing.is_missed = not thing.is_found and number not in explained
    return errors


def _sort_image(
    errors: Errors, truth: Any, found: Any, image: Any, kind: str, limit: int
) -> None:
    """Add the detections and objects of an image."""
    known = errors.categories
    real = [a for a in truth.imgToAnns[image] if a['category_id'] in known]
    crowds = [a for a in real if a['iscrowd']]
    real = [a for a in real if not a['iscrowd']]
    guesses = sorted(
        (a for a in found.imgToAnns[image] if a['category_id'] in known),
        key=lambda a: -a['score'],
    )
    seen = dict.fromkeys(known, 0)
    kept = []
    for guess in guesses:
        seen[guess['category_id']] += 1
        if seen[guess['category_id']] <= limit:
            kept.append(guess)
    first = len(errors.objects)
    errors.objects += [
        Object(image, a['category_id'], a['bbox'], float(a['area']))
        for a in real
    ]
    overlaps = _overlaps(found, kept, truth, real, kind)
    in_crowd = _overlaps(found, kept, truth, crowds, kind)
    labels = np.array([a['category_id'] for a in real])
    crowd_labels = np.array([a['category_id'] for a in crowds])
    is_free = np.ones(len(real), bool)
    for row, guess in enumerate(kept):
        entry = Detection(
            image, guess['category_id'], float(guess['score']), guess['bbox']
        )
        errors.detections.append(entry)
        same = labels == entry.category
        candidates = np.where(same & is_free, overlaps[row], 0)
        best = int(candidates.argmax()) if len(real) else 0
        if len(real) and candidates[best] >= FOREGROUND:
            is_free[best] = False
            errors.objects[first + best].is_found = True
            entry.kind, entry.target = RIGHT, first + best
            entry.iou = float(candidates[best])
            continue
        crowd = in_crowd[row][crowd_labels == entry.category]
        if crowd.size and crowd.max() >= FOREGROUND:
            entry.kind, entry.iou = IGNORED, float(crowd.max())
            continue
        _explain(entry, overlaps[row], same, first)


def _explain(
    entry: Detection, overlaps: np.ndarray, same: np.ndarray, first: int
) -> None:
    """Set the kind of a detection that found no free object of its class."""
    own = np.where(same, overlaps, 0)
    other = np.where(same, 0, overlaps)
    own_iou, other_iou = own.max(initial=0), other.max(initial=0)
    entry.iou = float(max(own_iou, other_iou))
    # The order of the questions is TIDE's.
    if BACKGROUND <= own_iou < FOREGROUND:
        entry.kind, entry.target = 'localisation', first + int(own.argmax())
    elif other_iou >= FOREGROUND:
        entry.kind = 'classification'
        entry.target = first + int(other.argmax())
    elif own_iou >= FOREGROUND:
        entry.kind, entry.target = 'duplicate', first + int(own.argmax())
    elif entry.iou >= BACKGROUND:
        entry.kind = 'both'
    else:
        entry.kind = 'background'
    if entry.target is not None:
        entry.iou = float(overlaps[entry.target - first])


def _overlaps(
    found: Any, guesses: list, truth: Any, real: list, kind: str
) -> np.ndarray:
    """Return the IoU of detections and objects (D, G)."""
    if not guesses or not real:
        return np.zeros((len(guesses), len(real)))
    crowd = np.array([bool(a['iscrowd']) for a in real], np.uint8)
    if kind == 'bbox':
        shapes = [[a['bbox'] for a in entries] for entries in (guesses, real)]
    else:
        shapes = [
            [found.annToRLE(a) for a in guesses],
            [truth.annToRLE(a) for a in real],
        ]
    overlaps: np.ndarray = coco_mask.iou(*shapes, crowd)
    return overlaps
