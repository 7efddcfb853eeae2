"""Write predicted label maps as PNG files, with pictures and areas."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from swin_dense.engine.input_files import distinct_paths
from swin_dense.engine.json_stream import JsonStream
from swin_dense.segmentation.result import SegmentationResult
from swin_dense.wording import counted

# Longest side of a picture in pixels; larger images are reduced.
LARGEST = 4096


class LabelResults:
    """Writes pictures and label maps, and on request the areas of classes.

    A label map has the name of its picture, in a folder `labels`. Its values
    are those of the data set's label maps, so that it can be used as one.

    Args:
        out: Folder for all files.
        pictures: Path of the picture of each image, below `out`.
        classes: Class names in label order.
        areas: If True, write `areas.json`.
        colours: If True, also write each label map in colours, in a folder
            `colours`.
    """

    def __init__(
        self,
        out: Path,
        pictures: Sequence[Path],
        classes: Sequence[str],
        areas: bool,
        colours: bool = False,
    ) -> None:
        self.out = out
        self.pictures = pictures
        self.maps = label_paths(pictures, out)
        self.colours = [
            out / 'colours' / path.relative_to(out / 'labels')
            for path in self.maps
            if colours
        ]
        names = json.dumps(list(classes))
        self.images = (
            JsonStream(
                out / 'areas.json',
                f'{{"classes": {names}, "images": [\n',
                '\n]}\n',
            )
            if areas
            else None
        )
        self.count = 0

    @property
    def paths(self) -> list[Path]:
        """Paths of all files that `add` may write."""
        return [*self.pictures, *self.maps, *self.colours]

    def add(self, index: int, result: SegmentationResult) -> None:
        """Write the prediction of an image.

        Args:
            index: Index of the image in `pictures`.
            result: The prediction.
        """
        result.save_label_map(self.maps[index])
        if self.colours:
            result.save_colour_map(self.colours[index])
        if self.images is not None:
            height, width = result.label_map.shape
            self.images.add(
                [
                    {
                        'file_name': result.path,
                        'label_map': str(self.maps[index]),
                        'width': width,
                        'height': height,
                        'areas': result.areas(),
                    }
                ]
            )
            self.images.publish()
        result.save(self.pictures[index], largest=LARGEST)
        self.count += 1

    def draw_frame(self, result: SegmentationResult) -> np.ndarray:
        """Return the picture (height, width, 3) in BGR of a frame.

        It has no legend, which would change its size from frame to frame.
        """
        return result.picture(legend=False, largest=LARGEST)

    def frame_entry(self, result: SegmentationResult) -> dict[str, Any]:
        """Return the areas of the classes of a frame for a line of JSON."""
        return {'areas': result.areas()}

    def close(self) -> None:
        """Close the JSON file."""
        if self.images is not None:
            self.images.close()

    def summary(self) -> str:
        """Return a sentence with the number of images and the folders."""
        return (
            f'{counted(self.count, "image")}; pictures: {self.out}, label '
            f'maps: {self.out / "labels"}'
        )


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
