"""Write predictions in the result format of COCO, and as pictures."""

import json
from collections.abc import Sequence
from pathlib import Path

from swin_dense.detection.coco_entries import coco_summary
from swin_dense.detection.result import DetectionResult
from swin_dense.engine.json_stream import JsonStream

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

    def add(self, index: int, result: DetectionResult) -> None:
        """Write the predictions of an image.

        Args:
            index: Index of the image in `pictures`.
            result: The predictions.
        """
        height, width = result.image.shape[:2]
        entry = {
            'id': index + 1,
            'file_name': result.path,
            'width': width,
            'height': height,
        }
        entries = result.to_coco(entry['id'])
        result.save(
            self.paths[index], score_thr=self.score_thr, largest=LARGEST
        )
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
