"""Predictions in the format of COCO's results."""
from typing import Any, Dict, List, Sequence

import numpy as np
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask

__all__ = ['coco_results', 'coco_summary']


def coco_results(instances: InstanceData, image: Dict[str, Any],
                 classes: Sequence[str]) -> List[Dict[str, Any]]:
    """One image's predictions, the highest score first.

    Args:
        instances: `bboxes` (N, 4) as x0 y0 x1 y1 in pixels, `labels`,
            `scores`, and optionally `masks` (N, H, W).
        image: Its entry in `coco_summary`.
        classes: Names, in the order of the labels.

    Returns:
        Entries that `pycocotools.COCO.loadRes` reads: boxes as x y w h, masks
        as RLE. File and category names are there for people.
    """
    boxes = instances.bboxes.numpy().astype(float)
    boxes[:, 2:] -= boxes[:, :2]
    entries = []
    for i in np.argsort(-instances.scores.numpy(), kind='stable'):
        label = int(instances.labels[i])
        entry = {
            'image_id': image['id'],
            'file_name': image['file_name'],
            'category_id': label + 1,
            'category_name': classes[label],
            'bbox': [round(value, 2) for value in boxes[i].tolist()],
            'score': round(float(instances.scores[i]), 5)
        }
        if 'masks' in instances:
            mask = np.asfortranarray(instances.masks[i].numpy(), np.uint8)
            rle = coco_mask.encode(mask)
            entry['segmentation'] = {
                'size': rle['size'],
                'counts': rle['counts'].decode('ascii')
            }
        entries.append(entry)
    return entries


def coco_summary(images: Sequence[Dict[str, Any]],
                 classes: Sequence[str]) -> Dict[str, Any]:
    """The images and categories that results refer to, as a COCO data set.

    Args:
        images: Each with `id`, `file_name`, `width` and `height`.
        classes: Names, in the order of the labels; ids count from 1.
    """
    return {
        'images':
        list(images),
        'annotations': [],
        'categories': [{
            'id': index,
            'name': name
        } for index, name in enumerate(classes, start=1)]
    }
