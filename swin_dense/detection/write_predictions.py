"""Write predictions in the result format of COCO, and as pictures."""

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

# Longest side of a picture in pixels; larger images are reduced.
LARGEST = 4096


class CocoResults:
    """Writes pictures, `predictions.json` and `images.json` image by image.

    Args:
        out: Folder for the JSON files.
        pictures: Path of the picture of each image.
        classes: Class names in label order.
        score_thr: Least score of drawn predictions; the JSON has all.
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
        """Write the predictions of an image.

        Args:
            index: Index of the image in `pictures`.
            image: Path of the image, for the JSON files.
            pixels: The image (H, W, 3), BGR, uint8.
            instances: Predictions; see `coco_results`.
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
        """Close the JSON files."""
        self.images.close()
        self.entries.close()

    def summary(self) -> str:
        """Return a sentence with the number of predictions and the folder."""
        return (
            f'{self.images.count} images, {self.entries.count} '
            f'predictions, {self.shown} of them with a score of '
            f'{self.score_thr} or more: {self.out}'
        )

    def _draw(self, pixels: np.ndarray, instances: InstanceData) -> np.ndarray:
        """Draw instances into a copy of the image, reduced to `LARGEST`."""
        shown = InstanceArrays.read(instances)
        if shown.scores is not None:
            shown = shown.keep(shown.scores >= self.score_thr)
        factor = LARGEST / max(pixels.shape[:2])
        if factor < 1:
            size = tuple(
                max(1, round(side * factor)) for side in pixels.shape[1::-1]
            )
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
            shown = shown.resized(size, factor)
        return draw_instances(pixels, shown, self.classes, self.score_thr)


def coco_results(
    instances: InstanceData, image: dict[str, Any], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Return an image's predictions as COCO entries, highest score first.

    Args:
        instances: `bboxes` (N, 4) as x0 y0 x1 y1 in pixels, `labels` (N,),
            `scores` (N,), and optionally `masks` (N, H, W), a tensor or
            `BoxMasks`.
        image: The image's entry in `coco_summary`.
        classes: Class names in label order.

    Returns:
        Entries that `pycocotools.COCO.loadRes` reads, with boxes as x y w h in
        pixels and masks as RLE. `file_name` and `category_name` are added for
        readers.
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
    """Return the images and categories of results as a COCO data set.

    Args:
        images: Entries with `id`, `file_name`, `width` and `height`.
        classes: Class names in label order; category ids are 1, 2, ...
    """
    return {
        'images': list(images),
        'annotations': [],
        'categories': [
            {'id': index, 'name': name}
            for index, name in enumerate(classes, start=1)
        ],
    }
