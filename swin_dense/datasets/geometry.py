"""Checks of the boxes and masks in a COCO annotation file.

Boxes are (x, y, w, h) in pixels; an image is W pixels wide and H high.
Everything raises a ValueError that names the file, the annotations, and what
to do.
"""
from pathlib import Path
from typing import Any, List, Union

import numpy as np

from swin_dense.datasets.checks import Lost, check_share, describe_lost, some

__all__ = ['check_boxes', 'check_masks', 'repair']

MAX_LOST = .1
XYXY_OUTSIDE, XYXY_READABLE = .02, .98
MASK_SAMPLE = 20_000


def _rings(segmentation: list) -> list:
    """Rings `[x, y, x, y, …]` of a polygon however it is nested."""
    if segmentation and not isinstance(segmentation[0], (list, tuple)):
        return [segmentation]
    if segmentation and all(
            len(ring) == 2 and not isinstance(ring[0], (list, tuple))
            for ring in segmentation):
        return [[value for point in segmentation for value in point]]
    return [
        [value for point in ring
         for value in point] if ring and isinstance(ring[0],
                                                    (list, tuple)) else ring
        for ring in segmentation
    ]


def repair(data: dict) -> Lost:
    """Fill in what COCO files may lack, in place.

    A missing `iscrowd` becomes 0 and a missing or empty `area` that of the
    box; a polygon given as one flat list or as pairs becomes a list of
    rings; rings of fewer than three points are dropped.

    Returns:
        Ids of the annotations that were changed, by what was done.
    """
    done: Lost = {}
    for ann in data['annotations']:
        ann.setdefault('iscrowd', 0)
        if not (ann.get('area') or 0) > 0 and len(ann['bbox']) == 4:
            ann['area'] = ann['bbox'][2] * ann['bbox'][3]
            done.setdefault('area computed from the box', []).append(ann['id'])
        if isinstance(ann.get('segmentation'), list):
            rings = _rings(ann['segmentation'])
            # An odd ring is left for `check_masks` to name.
            ann['segmentation'] = [
                ring for ring in rings if len(ring) >= 6 or len(ring) % 2
            ]
            if len(ann['segmentation']) < len(rings):
                done.setdefault('rings of fewer than 3 points dropped',
                                []).append(ann['id'])
    return done


def check_boxes(data: dict, path: Union[str, Path]) -> Lost:
    """Check every box.

    Returns:
        Ids of the annotations that no training can use, by reason.

    Raises:
        ValueError: Boxes are not four finite numbers, have no width or
            height, look like (x1, y1, x2, y2) or like shares of the image,
            or too many of them are lost.
    """
    if not data['annotations']:
        return {}
    ids = np.array([ann['id'] for ann in data['annotations']], object)
    short = [
        ann['id'] for ann in data['annotations']
        if not isinstance(ann['bbox'], list) or len(ann['bbox']) != 4
    ]
    if short:
        raise ValueError(f'{path}: boxes that are not four numbers '
                         f'[x, y, w, h]: annotations {some(short)}')
    # NaN where a value is None, as some exporters write it.
    boxes = np.array([ann['bbox'] for ann in data['annotations']], float)
    broken = ~np.isfinite(boxes).all(1)
    if broken.any():
        raise ValueError(f'{path}: boxes with NaN or infinity: annotations '
                         f'{some(ids[broken])}. Correct or remove them')
    sizes = {i['id']: (i['width'], i['height']) for i in data['images']}
    sizes = np.array([sizes[ann['image_id']] for ann in data['annotations']],
                     float)
    if boxes.max() <= 1 and sizes.min() > 8:
        raise ValueError(
            f'{path}: boxes look normalised, no value is above 1, as in '
            f'{boxes[0].tolist()} of annotation {ids[0]}. COCO boxes are '
            '[x, y, w, h] in pixels: multiply by the width and height of the '
            'image')
    outside = (boxes[:, :2] + boxes[:, 2:] > sizes + 1).any(1)
    readable = ((boxes[:, 2:] > boxes[:, :2]) &
                (boxes[:, 2:] <= sizes + 1)).all(1)
    if (outside.mean() > XYXY_OUTSIDE and readable.mean() >= XYXY_READABLE):
        raise ValueError(
            f'{path}: boxes look like [x1, y1, x2, y2], COCO needs '
            f'[x, y, w, h]: {outside.sum()} of {len(boxes)} reach beyond '
            f'their image, annotations {some(ids[outside])}. Subtract x1 and '
            'y1 from the last two numbers; if they are widths and heights, '
            'clip them to the image')
    flat = (boxes[:, 2:] <= 0).any(1)
    message = f'{path}: boxes with w or h ≤ 0; correct or remove them'
    check_share(ids[flat].tolist(), 0 if boxes[:, 2:].min() < 0 else len(ids),
                message)
    low = np.maximum(boxes[:, :2], 0)
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], sizes)
    away = ~flat & (high <= low).any(1)
    tiny = ~flat & ~away & (boxes[:, 2:] < 1).any(1)
    lost = {
        'box with w or h ≤ 0': ids[flat].tolist(),
        'box outside the image': ids[away].tolist(),
        'box under 1 pixel': ids[tiny].tolist()
    }
    lost = {reason: found for reason, found in lost.items() if found}
    if sum(map(len, lost.values())) > MAX_LOST * len(ids):
        raise ValueError(f'{path}: too many of its {len(ids)} annotations '
                         f'cannot be used\n{describe_lost(lost)}')
    return lost


def check_masks(data: dict, path: Union[str, Path]) -> Lost:
    """Check the mask of every annotation, after `repair`.

    Returns:
        Ids of the few annotations without a mask, if any.

    Raises:
        ValueError: Masks are absent, from all or from some; a ring has an
            odd count of numbers; an RLE is of another size than its image;
            or masks lie outside their boxes.
    """
    annotations = data['annotations']
    sizes = {i['id']: [i['height'], i['width']] for i in data['images']}
    absent, odd, wrong = [], [], []
    for ann in annotations:
        mask = ann.get('segmentation')
        if not mask:
            absent.append(ann['id'])
        elif isinstance(mask, list):
            if any(len(ring) % 2 for ring in mask):
                odd.append(ann['id'])
        elif not _rle_fits(mask, sizes[ann['image_id']]):
            wrong.append(ann['id'])
        elif _rle_area(mask) == 0:
            absent.append(ann['id'])
    if odd:
        raise ValueError(f'{path}: polygons with an odd count of numbers, '
                         f'annotations {some(odd)}: a ring is [x, y, x, y, …]')
    if wrong:
        raise ValueError(
            f'{path}: RLE masks whose size is not the [height, width] of the '
            f'image, annotations {some(wrong)}. Correct the size (is it '
            '[width, height]?), or encode the masks again')
    remedy = ('. Train boxes only (with_mask=False and a detector without '
              'mask head)')
    if annotations and len(absent) == len(annotations):
        raise ValueError(
            f'{path}: masks are needed (with_mask=True), but none of its '
            f'{len(annotations)} annotations has a segmentation{remedy}, or '
            'add masks')
    check_share(
        absent, len(annotations),
        f'{path}: masks are needed (with_mask=True) and some annotations '
        f'have none, or an empty one{remedy}, or add masks to these')
    astray = _masks_astray(annotations)
    if astray:
        raise ValueError(
            f'{path}: masks that lie outside their boxes, annotations '
            f'{some(astray)}. Are the polygons in pixels (x, y), and the '
            'boxes [x, y, w, h]?')
    return {'no mask': absent} if absent else {}


def _rle_fits(mask: dict, size: List[int]) -> bool:
    """Whether an RLE is one, and of `size` (H, W)."""
    counts = mask.get('counts')
    if list(mask.get('size', ())) != size or counts is None:
        return False
    return not isinstance(counts, list) or sum(counts) == size[0] * size[1]


def _rle_area(mask: dict) -> int:
    """Pixels of an RLE, compressed or not."""
    if isinstance(mask['counts'], list):
        return sum(mask['counts'][1::2])
    from pycocotools import mask as mask_api
    return int(mask_api.area(mask))


def _masks_astray(annotations: List[dict]) -> List[Any]:
    """Ids of polygons of which over half lies outside the box, if there are
    more than a few in an even sample."""
    step = max(1, len(annotations) // MASK_SAMPLE)
    astray = []
    sample = annotations[::step]
    for ann in sample:
        if isinstance(ann.get('segmentation'), list) and ann['segmentation']:
            x = [v for ring in ann['segmentation'] for v in ring[::2]]
            y = [v for ring in ann['segmentation'] for v in ring[1::2]]
            left, top, w, h = ann['bbox']
            inner_w = min(max(x), left + w) - max(min(x), left)
            inner_h = min(max(y), top + h) - max(min(y), top)
            area = (max(x) - min(x)) * (max(y) - min(y))
            if max(inner_w, 0) * max(inner_h, 0) < .5 * area:
                astray.append(ann['id'])
    return astray if len(astray) > XYXY_OUTSIDE * len(sample) else []
