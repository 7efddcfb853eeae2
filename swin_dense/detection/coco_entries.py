"""Write instances in the result format of COCO."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from swin_dense.detection.masks import BoxMasks
from swin_dense.visualization.instances import InstanceArrays


def coco_entries(
    instances: Any,
    image: dict[str, Any],
    classes: Sequence[str],
    category_ids: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """Return an image's predictions as COCO entries, highest score first.

    Args:
        instances: `bboxes` (N, 4) as x0 y0 x1 y1 in pixels, `labels` (N,),
            `scores` (N,), and optionally `masks` (N, H, W), bool or
            `BoxMasks`, and `track_ids` (N,).
        image: `id` and `file_name` of the image.
        classes: Class names in label order.
        category_ids: Id of each class; 1, 2, ... by default.

    Returns:
        Entries that `pycocotools.COCO.loadRes` reads, with boxes as x y w h in
        pixels and masks as RLE. `file_name` and `category_name` are added for
        readers, and `track_id`, None for no track, if objects are followed.
    """
    found = InstanceArrays.read(instances)
    ids = category_ids or range(1, len(classes) + 1)
    scores = found.scores if found.scores is not None else np.zeros(0)
    boxes = found.bboxes.copy()
    boxes[:, 2:] -= boxes[:, :2]
    entries = []
    for i in np.argsort(-scores, kind='stable'):
        label = int(found.labels[i])
        entry = {
            'image_id': image['id'],
            'file_name': image['file_name'],
            'category_id': ids[label],
            'category_name': classes[label],
            'bbox': [round(value, 2) for value in boxes[i].tolist()],
            'score': round(float(scores[i]), 5),
        }
        if found.track_ids is not None:
            number = int(found.track_ids[i])
            entry['track_id'] = None if number < 0 else number
        if found.masks is not None:
            rle = _encode(found.masks, i)
            entry['segmentation'] = {
                'size': rle['size'],
                'counts': rle['counts'].decode('ascii'),
            }
        entries.append(entry)
    return entries


def _encode(masks: Any, index: int) -> dict[str, Any]:
    """Encode a mask of `BoxMasks` or of an array (N, H, W)."""
    if isinstance(masks, BoxMasks):
        return masks.rle(index)
    return coco_mask.encode(np.asfortranarray(masks[index], np.uint8))


def coco_summary(
    images: Sequence[dict[str, Any]],
    classes: Sequence[str],
    category_ids: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Return the images and categories of results as a COCO data set.

    Args:
        images: Entries with `id`, `file_name`, `width` and `height`.
        classes: Class names in label order.
        category_ids: Id of each class; 1, 2, ... by default.
    """
    ids = category_ids or range(1, len(classes) + 1)
    return {
        'images': list(images),
        'annotations': [],
        'categories': [
            {'id': index, 'name': name} for index, name in zip(ids, classes)
        ],
    }
