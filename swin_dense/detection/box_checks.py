"""Check the boxes in a COCO annotation file.

Boxes are (x, y, w, h) in pixels; W and H are the width and height of an image
in pixels. Errors are ValueErrors that give the file, the annotations and the
remedy.
"""

from pathlib import Path

import numpy as np

from swin_dense.detection.annotation_checks import (
    UnusableIds,
    check_share,
    describe_lost,
)
from swin_dense.wording import first_few

MAX_LOST = 0.1  # largest share of unusable annotations
# Boxes are taken for (x1, y1, x2, y2) if more than the first share reach
# beyond their image and at least the second share makes sense as such.
XYXY_OUTSIDE, XYXY_READABLE = 0.02, 0.98
# A box may reach this many widths or heights of its image beyond the image.
MAX_REACH = 1


def _rings(segmentation: list) -> list:
    """Return the rings `[x, y, x, y, ...]` of a polygon with any nesting.

    A flat list is one ring; points may be pairs. Polygons with uneven nesting
    are returned unchanged.
    """
    if not any(isinstance(ring, list) for ring in segmentation):
        return [segmentation]
    if not all(isinstance(ring, list) for ring in segmentation):
        return segmentation
    if all(
        len(ring) == 2 and not isinstance(ring[0], list)
        for ring in segmentation
    ):
        return [[value for point in segmentation for value in point]]
    return [
        [value for point in ring for value in point]
        if ring
        and isinstance(ring[0], list)
        and all(isinstance(point, list) for point in ring)
        else ring
        for ring in segmentation
    ]


def fill_in_optional_fields(data: dict) -> UnusableIds:
    """Fill in optional fields of a COCO file, in place.

    A missing `iscrowd` becomes 0, and a missing or zero `area` the area of
    the box. A polygon as a flat list or as pairs becomes a list of rings.
    Rings of fewer than three points are dropped.

    Returns:
        Ids of the changed annotations, by the kind of change.
    """
    done: UnusableIds = {}
    for ann in data['annotations']:
        ann.setdefault('iscrowd', 0)
        box = ann['bbox']
        if (
            not (ann.get('area') or 0) > 0
            and isinstance(box, list)
            and len(box) == 4
        ):
            ann['area'] = box[2] * box[3]
            done.setdefault('area computed from the box', []).append(ann['id'])
        if isinstance(ann.get('segmentation'), list):
            rings = _rings(ann['segmentation'])
            # `check_masks` reports rings with an odd count of numbers.
            ann['segmentation'] = [
                ring
                for ring in rings
                if not isinstance(ring, list)
                or len(ring) >= 6
                or len(ring) % 2
            ]
            if len(ann['segmentation']) < len(rings):
                done.setdefault(
                    'rings of fewer than 3 points dropped', []
                ).append(ann['id'])
    return done


def check_boxes(data: dict, path: str | Path) -> UnusableIds:
    """Check the box of every annotation.

    Args:
        data: The parsed file, after `fill_in_optional_fields`.
        path: The annotation file, for messages.

    Returns:
        Ids of the annotations that cannot be used in training, by reason.

    Raises:
        ValueError: If boxes are not four finite numbers, have no width or
            height, look like (x1, y1, x2, y2) or like shares of the image,
            or if too many annotations are unusable.
    """
    if not data['annotations']:
        return {}
    ids = np.array([ann['id'] for ann in data['annotations']], object)
    short = [
        ann['id']
        for ann in data['annotations']
        if not isinstance(ann['bbox'], list) or len(ann['bbox']) != 4
    ]
    if short:
        raise ValueError(
            f'{path}: boxes that are not four numbers '
            f'[x, y, w, h]: annotations {first_few(short)}'
        )
    # NaN where a value is None, as some exporters write it.
    boxes = np.array([ann['bbox'] for ann in data['annotations']], float)
    broken = ~np.isfinite(boxes).all(1)
    if broken.any():
        raise ValueError(
            f'{path}: boxes with NaN or infinity: annotations '
            f'{first_few(ids[broken])}. Correct or remove them'
        )
    size_by_image = {
        i['id']: (i['width'], i['height']) for i in data['images']
    }
    sizes = np.array(
        [size_by_image[ann['image_id']] for ann in data['annotations']], float
    )
    if boxes.max() <= 1 and sizes.min() > 8:
        raise ValueError(
            f'{path}: boxes look normalised, no value is above 1, as in '
            f'{boxes[0].tolist()} of annotation {ids[0]}. COCO boxes are '
            '[x, y, w, h] in pixels: multiply by the width and height of the '
            'image'
        )
    outside = (boxes[:, :2] + boxes[:, 2:] > sizes + 1).any(1)
    readable = (
        (boxes[:, 2:] > boxes[:, :2]) & (boxes[:, 2:] <= sizes + 1)
    ).all(1)
    if outside.mean() > XYXY_OUTSIDE and readable.mean() >= XYXY_READABLE:
        raise ValueError(
            f'{path}: boxes look like [x1, y1, x2, y2], COCO needs '
            f'[x, y, w, h]: {outside.sum()} of {len(boxes)} reach beyond '
            f'their image, annotations {first_few(ids[outside])}. Subtract x1 '
            'and y1 from the last two numbers; if they are widths and '
            'heights, clip them to the image'
        )
    _check_areas(data, boxes, path)
    flat = (boxes[:, 2:] <= 0).any(1)
    message = f'{path}: boxes with w or h <= 0; correct or remove them'
    check_share(
        ids[flat].tolist(), 0 if boxes[:, 2:].min() < 0 else len(ids), message
    )
    reach = MAX_REACH * sizes
    far = (
        (boxes[:, :2] < -reach) | (boxes[:, :2] + boxes[:, 2:] > sizes + reach)
    ).any(1) & ~flat
    check_share(
        ids[far].tolist(),
        len(ids),
        f'{path}: boxes that reach far beyond their image; correct or remove '
        'them',
    )
    low = np.maximum(boxes[:, :2], 0)
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], sizes)
    away = ~flat & ~far & (high <= low).any(1)
    tiny = ~flat & ~far & ~away & (boxes[:, 2:] < 1).any(1)
    lost = {
        'box with w or h <= 0': ids[flat].tolist(),
        'box far beyond the image': ids[far].tolist(),
        'box outside the image': ids[away].tolist(),
        'box under 1 pixel': ids[tiny].tolist(),
    }
    lost = {reason: unusable for reason, unusable in lost.items() if unusable}
    if sum(map(len, lost.values())) > MAX_LOST * len(ids):
        raise ValueError(
            f'{path}: too many of its {len(ids)} annotations '
            f'cannot be used\n{describe_lost(lost)}'
        )
    return lost


def _check_areas(data: dict, boxes: np.ndarray, path: str | Path) -> None:
    """Raise a ValueError if `area` is that of a box (x1, y1, x2, y2)."""
    areas = np.array(
        [ann.get('area') or 0 for ann in data['annotations']], float
    )
    sides = boxes[:, 2:] - boxes[:, :2]

    def fit(width_height: np.ndarray) -> np.ndarray:
        """Return True for each annotation with this width times height."""
        return (width_height > 0).all(1) & (
            abs(width_height.prod(1) - areas) <= 0.01 * areas
        )

    if fit(sides).mean() >= XYXY_READABLE and fit(boxes[:, 2:]).mean() < 0.5:
        raise ValueError(
            f'{path}: boxes look like [x1, y1, x2, y2], COCO needs '
            f'[x, y, w, h]: the area of {fit(sides).sum()} of {len(boxes)} '
            'annotations is that of the box read so. Subtract x1 and y1 from '
            'the last two numbers'
        )
