"""Write predicted label maps as PNG files, with pictures and areas."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from swin_dense.engine import cli
from swin_dense.engine.input_files import distinct_paths
from swin_dense.engine.json_stream import JsonStream
from swin_dense.visualization import draw_labels

# Longest side of a picture in pixels; larger images are reduced.
LARGEST = 4096


class LabelResults:
    """Writes pictures and label maps, and on request the areas of classes.

    A label map has the name of its picture, in a folder `labels`. Its values
    are those of the data set's label maps, so that it can be used as one.

    Args:
        out: Folder for all files.
        pictures: Path of the picture of each image, below `out`.
        predictor: A `swin_dense.segmentation.predictor.SegmentationPredictor`.
        areas: If True, write `areas.json`.
    """

    def __init__(
        self, out: Path, pictures: Sequence[Path], predictor: Any, areas: bool
    ) -> None:
        self.out = out
        self.pictures = pictures
        self.maps = label_paths(pictures, out)
        self.predictor = predictor
        classes = json.dumps(list(predictor.classes))
        self.images = (
            JsonStream(
                out / 'areas.json',
                f'{{"classes": {classes}, "images": [\n',
                '\n]}\n',
            )
            if areas
            else None
        )
        self.count = 0

    @property
    def paths(self) -> list[Path]:
        """Paths of all files that `add` may write."""
        return [*self.pictures, *self.maps]

    def add(
        self, index: int, image: Path, pixels: np.ndarray, labels: np.ndarray
    ) -> None:
        """Write the prediction of an image.

        Args:
            index: Index of the image in `pictures`.
            image: Path of the image, for the JSON file.
            pixels: The image (H, W, 3), BGR, uint8.
            labels: Predicted labels (H, W).
        """
        classes = self.predictor.classes
        values = self.predictor.file_values
        # PNG files have 8 or 16 bits.
        values = values.astype(np.uint8 if values.max() < 256 else np.uint16)
        cli.write_image(self.maps[index], values[labels])
        if self.images is not None:
            height, width = labels.shape
            self.images.add(
                [
                    {
                        'file_name': str(image),
                        'label_map': str(self.maps[index]),
                        'width': width,
                        'height': height,
                        'areas': class_areas(labels, classes),
                    }
                ]
            )
            self.images.publish()
        small = min(1, LARGEST / max(labels.shape))
        if small < 1:
            size = tuple(max(1, round(n * small)) for n in labels.shape[::-1])
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
            labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
        cli.write_image(
            self.pictures[index],
            draw_labels(pixels, labels, classes, self.predictor.palette),
        )
        self.count += 1

    def close(self) -> None:
        """Close the JSON file."""
        if self.images is not None:
            self.images.close()

    def summary(self) -> str:
        """Return a sentence with the number of images and the folders."""
        return (
            f'{self.count} images, pictures and label maps: {self.out}, '
            f'{self.out / "labels"}'
        )


def class_areas(
    labels: np.ndarray, classes: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return pixels and share of each class that occurs, largest first.

    Args:
        labels: Labels (H, W), indices into `classes`.
        classes: Class names; classes with the same name are added up.
    """
    # Row by row: bincount of a whole map would take eight bytes per pixel.
    counts = np.zeros(len(classes), np.int64)
    for row in labels:
        counts += np.bincount(row, minlength=len(classes))
    pixels: Counter = Counter()
    for name, count in zip(classes, counts):
        pixels[name] += int(count)
    return {
        name: {'pixels': count, 'share': round(count / labels.size, 6)}
        for name, count in pixels.most_common()
        if count
    }


def label_paths(pictures: Sequence[Path], out: Path) -> list[Path]:
    """Return a unique path of a label map for each picture.

    Pictures that differ in their suffix only keep it: `a.jpg.png`.
    """
    names = [picture.relative_to(out) for picture in pictures]
    times = Counter(name.with_suffix('.png') for name in names)

    def rename(path: Path) -> Path:
        """Return the path with the suffix .png, appended to duplicates."""
        name = path.relative_to(out / 'labels').with_suffix('.png')
        return (
            path.with_suffix('.png')
            if times[name] == 1
            else (path.with_name(f'{path.name}.png'))
        )

    return distinct_paths([out / 'labels' / name for name in names], rename)
