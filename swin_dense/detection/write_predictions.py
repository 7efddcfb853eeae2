"""Write predictions in the result format of COCO, and as pictures."""

import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from swin_dense.detection.coco_entries import coco_summary
from swin_dense.detection.dataset_ids import DatasetIds
from swin_dense.detection.result import DetectionResult, labels_of
from swin_dense.engine.json_stream import JsonStream
from swin_dense.wording import counted

# Longest side of a picture in pixels; larger images are reduced.
LARGEST = 4096


class CocoResults:
    """Writes pictures, `predictions.json` and `images.json` image by image.

    Args:
        out: Folder for the JSON files.
        pictures: Path of the picture of each image.
        classes: Class names in label order.
        score_thr: Least score of drawn predictions; the JSON has all.
        ids: Ids of classes and images. An image that is not of the data set
            has a number that no other image has.
        only: Names of classes to write and draw; None for all.
        frame_colour_by: Colours in videos, where the order of instances and
            so their colours change; see `DetectionResult.picture`.
        drawing: Options of `DetectionResult.picture`.
    """

    def __init__(
        self,
        out: Path,
        pictures: Sequence[Path],
        classes: Sequence[str],
        score_thr: float,
        ids: DatasetIds,
        only: Sequence[str] | None = None,
        frame_colour_by: str = 'class',
        **drawing: Any,
    ) -> None:
        self.out = out
        self.paths = list(pictures)
        self.classes = classes
        self.score_thr = score_thr
        self.ids = ids
        self.only = only
        self.drawing = drawing
        self.frame_drawing = {**drawing, 'colour_by': frame_colour_by}
        if only is not None:
            labels_of(only, classes)  # raises if a class is unknown
        known = {*ids.images.values()}
        self.fresh_ids = (n for n in count(1) if n not in known)
        self.shown = 0
        head, tail = json.dumps(
            coco_summary([], classes, ids.categories)
        ).split('[]', 1)
        self.images = JsonStream(
            out / 'images.json', f'{head}[\n', f'\n]{tail}\n'
        )
        self.entries = JsonStream(out / 'predictions.json')

    def add(self, index: int, result: DetectionResult) -> None:
        """Write the predictions of an image.

        Args:
            index: Index of the image in `pictures`.
            result: The predictions.
        """
        result = self._chosen(result)
        height, width = result.image.shape[:2]
        known = self.ids.images.get(Path(result.path or '').name)
        entry = {
            'id': next(self.fresh_ids) if known is None else known,
            'file_name': result.path,
            'width': width,
            'height': height,
        }
        entries = result.to_coco(entry['id'])
        result.save(
            self.paths[index],
            score_thr=self.score_thr,
            largest=LARGEST,
            **self.drawing,
        )
        self.shown += sum(e['score'] >= self.score_thr for e in entries)
        self.images.add([entry])
        self.entries.add(entries)
        self.images.publish()
        self.entries.publish()

    def draw_frame(self, result: DetectionResult) -> np.ndarray:
        """Return the picture (height, width, 3) in BGR of a frame."""
        return self._chosen(result).picture(
            score_thr=self.score_thr, largest=LARGEST, **self.frame_drawing
        )

    def frame_entry(self, result: DetectionResult) -> dict[str, Any]:
        """Return the predictions of a frame for a line of JSON."""
        instances = self._chosen(result).to_coco()
        for entry in instances:
            del entry['image_id'], entry['file_name']
        return {'instances': instances}

    def _chosen(self, result: DetectionResult) -> DetectionResult:
        """Return the result with the classes to write and draw alone."""
        return result if self.only is None else result.keep(classes=self.only)

    def close(self) -> None:
        """Close the JSON files."""
        self.images.close()
        self.entries.close()

    def summary(self) -> str:
        """Return a sentence with the number of predictions and the folder."""
        return (
            f'{counted(self.images.count, "image")}, '
            f'{counted(self.entries.count, "prediction")}, {self.shown} of '
            f'them with a score of {self.score_thr} or more: {self.out}'
        )
