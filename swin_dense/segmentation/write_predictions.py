"""What is written of label maps: pictures, PNG files and areas."""

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

# Pictures are for people: the longer side of a larger one is made this, in
# pixels.
LARGEST = 4096


class LabelResults:
    """Writes pictures and label maps, and on request the areas of classes.

    A label map is named as its picture, in a folder `labels`. It has the
    values that stand for the classes in the label maps of the data set, so
    that it can be used as one of them.

    Args:
        out: Folder for all.
        pictures: A picture's path below it for each image.
        predictor: A `swin_dense.segmentation.predictor.SegmentationPredictor`.
        areas: Whether to write `areas.json`.
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
        """All that `add` may write."""
        return [*self.pictures, *self.maps]

    def add(
        self, index: int, image: Path, pixels: np.ndarray, labels: np.ndarray
    ) -> None:
        """Write what is found in the image of an index.

        Args:
            index: Into the pictures.
            image: Path that the image is named by.
            pixels: (H, W, 3) uint8, BGR.
            labels: (H, W).
        """
        classes = self.predictor.classes
        values = self.predictor.file_values
        # The smallest type that a PNG has.
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
        """Write what is about all images so far."""
        if self.images is not None:
            self.images.close()

    def summary(self) -> str:
        """Say how much was done, and where it is."""
        return (
            f'{self.count} images, pictures and label maps: {self.out}, '
            f'{self.out / "labels"}'
        )


def class_areas(
    labels: np.ndarray, classes: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Pixels and share of each class that occurs, the largest first.

    Args:
        labels: (H, W), indices into `classes`.
        classes: Names; two of one name count together.
    """
    # Row by row, as the count of a whole map takes eight bytes for a pixel.
    counts = sum(np.bincount(row, minlength=len(classes)) for row in labels)
    pixels: Counter = Counter()
    for name, count in zip(classes, counts):
        pixels[name] += int(count)
    return {
        name: {'pixels': count, 'share': round(count / labels.size, 6)}
        for name, count in pixels.most_common()
        if count
    }


def label_paths(pictures: Sequence[Path], out: Path) -> list[Path]:
    """A label map's path for each picture, none twice.

    Pictures of which only the endings differ keep them: `a.jpg.png`.
    """
    names = [picture.relative_to(out) for picture in pictures]
    times = Counter(name.with_suffix('.png') for name in names)

    def rename(path: Path) -> Path:
        name = path.relative_to(out / 'labels').with_suffix('.png')
        return (
            path.with_suffix('.png')
            if times[name] == 1
            else (path.with_name(f'{path.name}.png'))
        )

    return distinct_paths([out / 'labels' / name for name in names], rename)
