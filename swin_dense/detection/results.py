"""Predictions in the format of COCO's results."""
from pathlib import Path
from typing import Any, Dict, List, Sequence

import numpy as np
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask

from swin_dense.engine import cli
from swin_dense.visualization import draw_instances

__all__ = ['CocoResults', 'coco_results', 'coco_summary']


class CocoResults:
    """Writes pictures, `predictions.json` and `images.json`.

    Args:
        out: Folder for the JSON files.
        pictures: A picture's path for each image.
        classes: Names, in the order of the labels.
        score_thr: Least score of what is drawn; the JSON holds all.
    """

    def __init__(self, out: Path, pictures: Sequence[Path],
                 classes: Sequence[str], score_thr: float) -> None:
        self.out = out
        self.paths = list(pictures)
        self.classes = classes
        self.score_thr = score_thr
        self.images: List[Dict[str, Any]] = []
        self.entries: List[Dict[str, Any]] = []

    def add(self, index: int, image: Path, pixels: np.ndarray,
            instances: InstanceData) -> None:
        """Draw what is found in the image of an index, and keep it.

        Args:
            index: Into the pictures.
            image: Path that the image is named by.
            pixels: (H, W, 3) uint8, BGR.
            instances: See `coco_results`.
        """
        height, width = pixels.shape[:2]
        self.images.append({
            'id': index + 1,
            'file_name': str(image),
            'width': width,
            'height': height
        })
        self.entries += coco_results(instances, self.images[-1], self.classes)
        cli.write_image(
            self.paths[index],
            draw_instances(pixels, instances, self.classes, self.score_thr))

    def finish(self) -> str:
        """Write what is about all images; returns a summary."""
        cli.write_json(self.out / 'images.json',
                       coco_summary(self.images, self.classes))
        cli.write_json(self.out / 'predictions.json', self.entries)
        shown = sum(e['score'] >= self.score_thr for e in self.entries)
        return (f'{len(self.images)} images, {len(self.entries)} predictions, '
                f'{shown} of them with a score of {self.score_thr} or more: '
                f'{self.out}')


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
