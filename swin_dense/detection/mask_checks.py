"""Check the masks in a COCO annotation file.

A mask is either a polygon, a list of rings `[x, y, x, y, ...]` in pixels, or
a run-length encoding (RLE), an object with `size` [H, W] and `counts`: the
lengths of runs of 0, 1, 0, ... down the columns. W and H are the width and
height of an image in pixels.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from swin_dense.detection.annotation_checks import UnusableIds, check_share
from swin_dense.detection.annotation_fields import (
    Unreadable,
    describe_type,
    read_number,
)
from swin_dense.detection.mask_geometry import (
    box_iou,
    decode_counts,
    measure_polygons,
    measure_runs,
)
from swin_dense.wording import first_few

# Masks that are measured at a time, to bound the memory.
CHUNK = 10_000
# Largest coordinate in units of the longer side of the image. A polygon with
# farther points takes minutes to rasterise.
MAX_REACH = 10
# Share of the masks that may lie mostly outside their boxes.
MAX_ASTRAY = 0.02
# Share of a mask's area, and number of pixels, beyond its box from which on
# the mask does not fit. It is an error if more than half of all do not fit.
MAX_BEYOND, MAX_PIXELS_BEYOND = 0.1, 2
REMEDY = (
    '. Train boxes only (with_mask=False and a detector without mask head)'
)
FORMATS = (
    ': a mask is a list of rings [[x, y, x, y, ...]] of numbers, or an '
    'RLE with size and counts'
)


class _Masks:
    """The measured masks of a file, and the problems with others.

    Attributes:
        problems: Ids of annotations by (problem, rule): the problem in words
            and what to do.
        absent: Ids of annotations without a mask, or with an empty mask.
        boxes: Bounding boxes (x1, y1, x2, y2) `(N, 4)` of the good masks.
        annotations: The N annotations with these masks.
    """

    def __init__(self, data: dict) -> None:
        self.sizes = {
            image['id']: (image['height'], image['width'])
            for image in data['images']
        }
        self.problems: dict[tuple[str, str], list[Any]] = {}
        self.absent: list[Any] = []
        self.annotations: list[dict] = []
        polygons, encodings = [], []
        for ann in data['annotations']:
            mask = ann.get('segmentation')
            if isinstance(mask, list) and mask:
                polygons.append(ann)
            elif isinstance(mask, dict) and mask:
                encodings.append(ann)
            elif mask is None or mask in ([], {}):
                self.absent.append(ann['id'])
            else:
                self._refuse(
                    f'masks that are {describe_type(mask)}', ann, FORMATS
                )
        boxes = [np.zeros((0, 4))]
        for chosen, measure in (
            (polygons, self._polygons),
            (encodings, self._encodings),
        ):
            for start in range(0, len(chosen), CHUNK):
                boxes.append(measure(chosen[start : start + CHUNK]))
        self.boxes = np.concatenate(boxes)

    def _refuse(self, problem: str, ann: dict, rule: str = '') -> None:
        """Add an annotation to a problem."""
        self.problems.setdefault((problem, rule), []).append(ann['id'])

    def _keep(
        self,
        annotations: Sequence[dict],
        boxes: np.ndarray,
        covers: np.ndarray,
    ) -> np.ndarray:
        """Store the annotations whose masks cover pixels; return their boxes.

        Args:
            annotations: N annotations.
            boxes: Bounding boxes of their masks `(N, 4)`.
            covers: True for masks that cover pixels `(N,)`.
        """
        self.absent += [
            ann['id'] for ann, used in zip(annotations, covers) if not used
        ]
        self.annotations += [
            ann for ann, used in zip(annotations, covers) if used
        ]
        return boxes[covers]

    def _polygons(self, annotations: list[dict]) -> np.ndarray:
        """Return the bounding boxes `(N, 4)` of polygons without problems."""
        rings = [ann['segmentation'] for ann in annotations]
        if not _are_rings(rings):
            annotations = [ann for ann in annotations if self._read_rings(ann)]
            rings = [ann['segmentation'] for ann in annotations]
        if not rings:
            return np.zeros((0, 4))
        boxes, covers = measure_polygons(rings)
        sizes = np.array([self.sizes[ann['image_id']] for ann in annotations])
        reach = MAX_REACH * sizes.max(1, keepdims=True)
        broken = ~np.isfinite(boxes).all(1)
        far = ~broken & (np.abs(boxes) > reach).any(1)
        for index in np.flatnonzero(broken | far):
            self._refuse(
                'polygons with NaN or infinity'
                if broken[index]
                else 'polygons with points far outside their image',
                annotations[index],
                '. Correct or remove them',
            )
        fine = ~(broken | far)
        annotations = [ann for ann, use in zip(annotations, fine) if use]
        return self._keep(annotations, boxes[fine], covers[fine])

    def _read_rings(self, ann: dict) -> bool:
        """Convert the rings of a polygon to numbers; False on a problem."""
        mask = ann['segmentation']
        for ring in mask:
            if not isinstance(ring, list):
                self._refuse(
                    f'polygons that hold {describe_type(ring)}', ann, FORMATS
                )
                return False
            for value in ring:
                try:
                    read_number(value)
                except Unreadable:
                    self._refuse(
                        f'polygons that hold {describe_type(value)}',
                        ann,
                        FORMATS,
                    )
                    return False
            if len(ring) % 2:
                self._refuse(
                    'polygons with an odd count of numbers',
                    ann,
                    ': a ring is [x, y, x, y, ...]',
                )
                return False
        ann['segmentation'] = [[*map(read_number, ring)] for ring in mask]
        return True

    def _encodings(self, annotations: list[dict]) -> np.ndarray:
        """Return the bounding boxes `(N, 4)` of RLEs without problems."""
        annotations = [ann for ann in annotations if self._is_rle(ann)]
        texts = [
            isinstance(ann['segmentation']['counts'], str)
            for ann in annotations
        ]
        compressed = [ann for ann, text in zip(annotations, texts) if text]
        lists = [ann for ann, text in zip(annotations, texts) if not text]
        counts, lengths = decode_counts(
            [ann['segmentation']['counts'] for ann in compressed]
        )
        runs = [ann['segmentation']['counts'] for ann in lists]
        counts = np.concatenate(
            [counts, np.array([*chain.from_iterable(runs)], np.int64)]
        )
        lengths = np.concatenate(
            [lengths, np.array([*map(len, runs)], np.int64)]
        )
        annotations = compressed + lists
        if not annotations:
            return np.zeros((0, 4))
        sizes = np.array(
            [self.sizes[ann['image_id']] for ann in annotations], np.int64
        )
        owner = np.repeat(np.arange(len(lengths)), lengths)
        total = np.bincount(owner, counts, len(lengths))
        negative = np.bincount(owner, counts < 0, len(lengths)) > 0
        undecodable = (lengths == 0) | negative
        wrong = undecodable | (total != sizes.prod(1))
        for index in np.flatnonzero(wrong):
            self._refuse(
                'RLE masks whose counts cannot be decoded'
                if undecodable[index]
                else 'RLE masks whose size, height x width, is not the sum of '
                'their run lengths',
                annotations[index],
                '. Encode these masks again',
            )
        fine = ~wrong
        annotations = [ann for ann, use in zip(annotations, fine) if use]
        boxes, areas = measure_runs(
            counts[fine[owner]], lengths[fine], sizes[fine, 0]
        )
        return self._keep(annotations, boxes, areas > 0)

    def _is_rle(self, ann: dict) -> bool:
        """Return True if a mask is an RLE with the size of its image."""
        mask = ann['segmentation']
        height, width = self.sizes[ann['image_id']]
        counts = mask.get('counts')
        is_list = isinstance(counts, list)
        if not (
            isinstance(counts, str)
            or is_list
            and counts
            and {*map(type, counts)} == {int}
            and 0 <= min(counts) <= max(counts) < 2**40
        ):
            self._refuse(
                'RLE masks whose counts are neither run lengths nor a '
                f'compressed text, but {describe_type(counts)}',
                ann,
            )
            return False
        if mask.get('size') != [height, width]:
            self._refuse(
                'RLE masks whose size is not the [height, width] of the image',
                ann,
                '. Correct the size (is it [width, height]?), '
                'or encode the masks again',
            )
            return False
        return True


def _are_rings(polygons: Sequence[Any]) -> bool:
    """Return True if all polygons are rings of pairs of numbers.

    Checks all polygons at once, which is faster than reading each.
    """
    rings = [*chain.from_iterable(polygons)]
    if {*map(type, rings)} != {list}:
        return False
    return (
        not any(len(ring) % 2 for ring in rings)
        and {*map(type, chain.from_iterable(rings))} <= {int, float}
        and _fit_floats(rings)
    )


def _fit_floats(rings: Sequence[list]) -> bool:
    """Return True if no integer is too large for a float."""
    try:
        np.fromiter(chain.from_iterable(rings), float)
    except OverflowError:
        return False
    return True


def check_masks(data: dict, path: str | Path) -> UnusableIds:
    """Check the mask of every annotation.

    Args:
        data: The parsed file, after `fill_in_optional_fields`.
        path: The annotation file, for messages.

    Returns:
        Ids of annotations without a mask, by reason; empty if there are none.

    Raises:
        ValueError: If more than a small share of masks is absent; if masks
            are not polygons or RLEs, cannot be decoded or have another size
            than their image; or if they do not fit their boxes.
    """
    annotations = data['annotations']
    masks = _Masks(data)
    if masks.problems:
        raise ValueError(
            '\n  '.join(
                f'{path}: {problem}, annotations {first_few(ids)}{rule}'
                for (problem, rule), ids in masks.problems.items()
            )
        )
    if annotations and len(masks.absent) == len(annotations):
        raise ValueError(
            f'{path}: masks are needed (with_mask=True), but none of its '
            f'{len(annotations)} annotations has a segmentation that covers '
            f'pixels{REMEDY}, or add masks'
        )
    check_share(
        masks.absent,
        len(annotations),
        f'{path}: masks are needed (with_mask=True) and some annotations '
        f'have none, or an empty one{REMEDY}, or add masks to these',
    )
    _check_fit(masks, path)
    return {'no mask': masks.absent} if masks.absent else {}


def _check_fit(masks: _Masks, path: str | Path) -> None:
    """Raise a ValueError if the masks do not fit the boxes."""
    if not masks.annotations:
        return
    ids = np.array([ann['id'] for ann in masks.annotations], object)
    stored = np.array([ann['bbox'] for ann in masks.annotations], float)
    boxes = np.concatenate([stored[:, :2], stored[:, :2] + stored[:, 2:]], 1)
    fit, as_corners = box_iou(masks.boxes, boxes), box_iou(masks.boxes, stored)
    if (as_corners > fit + 0.1).mean() > 0.9 and np.median(as_corners) > 0.8:
        raise ValueError(
            f'{path}: boxes look like [x1, y1, x2, y2], read so they fit the '
            f'masks: annotations {first_few(ids[as_corners > fit + 0.1])}. '
            'COCO needs [x, y, w, h]: subtract x1 and y1 from the last two '
            'numbers'
        )
    low = np.maximum(masks.boxes[:, :2], boxes[:, :2])
    high = np.minimum(masks.boxes[:, 2:], boxes[:, 2:])
    area = (masks.boxes[:, 2:] - masks.boxes[:, :2]).prod(1)
    inside = np.maximum(high - low, 0).prod(1)
    astray = inside < 0.5 * area
    if astray.mean() > MAX_ASTRAY:
        raise ValueError(
            f'{path}: masks that lie outside their boxes, annotations '
            f'{first_few(ids[astray])}. Polygons are in pixels (x, y), run '
            'lengths go down the columns (pycocotools encodes arrays in '
            'Fortran order), boxes are [x, y, w, h]'
        )
    pixels = np.concatenate(
        [boxes[:, :2] - masks.boxes[:, :2], masks.boxes[:, 2:] - boxes[:, 2:]],
        1,
    ).max(1)
    beyond = (inside < (1 - MAX_BEYOND) * area) & (pixels > MAX_PIXELS_BEYOND)
    if beyond.mean() > 0.5:
        raise ValueError(
            f'{path}: {beyond.sum()} of {len(ids)} masks reach beyond their '
            f'boxes, by {np.median(pixels[beyond]):.0f} pixels in the median, '
            f'annotations {first_few(ids[beyond])}. Are masks and boxes of '
            'one image, without padding, shift or scale?'
        )
