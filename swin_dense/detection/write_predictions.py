"""Predictions in the format of COCO's results."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask

from swin_dense.detection.masks import BoxMasks
from swin_dense.engine import cli
from swin_dense.engine.json_stream import JsonStream
from swin_dense.visualization import draw_instances
from swin_dense.visualization.instances import InstanceArrays

# Pictures are for people: the longer side of a larger one is made this, in
# pixels.
LARGEST = 4096


class CocoResults:
    """Writes pictures, `predictions.json` and `images.json` as they come.

    Args:
        out: Folder for the JSON files.
        pictures: A picture's path for each image.
        classes: Names, in the order of the labels.
        score_thr: Least score of what is drawn; the JSON holds all.
    """

    def __init__(
        self,
        out: Path,
        pictures: Sequence[Path],
        classes: Sequence[str],
        score_thr: float,
    ) -> None:
        self.out = out
        self.paths = list(pictures)
        self.classes = classes
        self.score_thr = score_thr
        self.shown = 0
        head, tail = json.dumps(coco_summary([], classes)).split('[]', 1)
        self.images = JsonStream(
            out / 'images.json', f'{head}[\n', f'\n]{tail}\n'
        )
        self.entries = JsonStream(out / 'predictions.json')

    def add(
        self,
        index: int,
        image: Path,
        pixels: np.ndarray,
        instances: InstanceData,
    ) -> None:
        """Write what is found in the image of an index.

        Args:
            index: Into the pictures.
            image: Path that the image is named by.
            pixels: (H, W, 3) uint8, BGR.
            instances: See `coco_results`.
        """
        height, width = pixels.shape[:2]
        entry = {
            'id': index + 1,
            'file_name': str(image),
            'width': width,
            'height': height,
        }
        entries = coco_results(instances, entry, self.classes)
        cli.write_image(self.paths[index], self._draw(pixels, instances))
        self.shown += sum(e['score'] >= self.score_thr for e in entries)
        self.images.add([entry])
        self.entries.add(entries)
        self.images.publish()
        self.entries.publish()

    def close(self) -> None:
        """Write what is about all images so far."""
        self.images.close()
        self.entries.close()

    def summary(self) -> str:
        """Say how much was found, and where it is."""
        return (
            f'{self.images.count} images, {self.entries.count} '
            f'predictions, {self.shown} of them with a score of '
            f'{self.score_thr} or more: {self.out}'
        )

    def _draw(self, pixels: np.ndarray, instances: InstanceData) -> np.ndarray:
        """Draw instances, those of a large image onto a smaller one."""
        found = InstanceArrays.read(instances)
        found = found.keep(found.scores >= self.score_thr)
        factor = LARGEST / max(pixels.shape[:2])
        if factor < 1:
            size = tuple(
                max(1, round(side * factor)) for side in pixels.shape[1::-1]
            )
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
            found = found.resized(size, factor)
        return draw_instances(pixels, found, self.classes, self.score_thr)


def coco_results(
    instances: InstanceData, image: dict[str, Any], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """One image's predictions, the highest score first.

    Args:
        instances: `bboxes` (N, 4) as x0 y0 x1 y1 in pixels, `labels`,
            `scores`, and optionally `masks` (N, H, W), a tensor or `BoxMasks`.
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
            'score': round(float(instances.scores[i]), 5),
        }
        if 'masks' in instances:
            rle = _encode(instances.masks, i)
            entry['segmentation'] = {
                'size': rle['size'],
                'counts': rle['counts'].decode('ascii'),
            }
        entries.append(entry)
    return entries


def _encode(masks: Any, index: int) -> dict[str, Any]:
    """Encode a mask of `BoxMasks` or of a tensor (N, H, W)."""
    if isinstance(masks, BoxMasks):
        return masks.rle(index)
    return coco_mask.encode(np.asfortranarray(masks[index].numpy(), np.uint8))


def coco_summary(
    images: Sequence[dict[str, Any]], classes: Sequence[str]
) -> dict[str, Any]:
    """The images and categories that results refer to, as a COCO data set.

    Args:
        images: Each with `id`, `file_name`, `width` and `height`.
        classes: Names, in the order of the labels; ids count from 1.
    """
    return {
        'images': list(images),
        'annotations': [],
        'categories': [
            {'id': index, 'name': name}
            for index, name in enumerate(classes, start=1)
        ],
    }
