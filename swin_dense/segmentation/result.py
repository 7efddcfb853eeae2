"""The label map that a segmentor predicts for an image."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from swin_dense.engine import cli
from swin_dense.engine.results import Result
from swin_dense.visualization import colour_map, draw_labels


class SegmentationResult(Result):
    """The label of each pixel of an image.

    H and W are the size of the image in pixels.

    Attributes:
        label_map: Index into `classes` of each pixel (H, W), uint8 or uint16.
        palette: Colours of the classes as (red, green, blue), or None.
        file_values: Value of each class in label maps of the data set.

    Args:
        image: The image (H, W, 3), BGR, uint8.
        label_map: See above.
        classes: Class names in label order.
        palette: See above.
        file_values: See above; the index of each class by default.
        path: Path or address of the image; None if it had none.
        channel_order: See `Result`.
    """

    def __init__(
        self,
        image: np.ndarray,
        label_map: np.ndarray,
        classes: Sequence[str],
        palette: Sequence[Sequence[int]] | None = None,
        file_values: np.ndarray | None = None,
        path: str | None = None,
        channel_order: str = 'bgr',
    ) -> None:
        super().__init__(classes, path, channel_order)
        self._image = image
        self.label_map: np.ndarray = label_map
        self.palette = palette
        if file_values is None:
            file_values = np.arange(len(classes))
        self.file_values = file_values

    def __repr__(self) -> str:
        height, width = self.label_map.shape
        shares = ', '.join(
            f'{area["share"]:.0%} {name}'
            for name, area in list(self.areas().items())[:5]
        )
        return (
            f'<{type(self).__name__} of {self.path or "an image"}, '
            f'{width}x{height}: {shares}>'
        )

    @property
    def image(self) -> np.ndarray:
        """The image (H, W, 3), uint8, in `channel_order`."""
        return self._ordered(self._image)

    @cached_property
    def labels(self) -> np.ndarray:  # type: ignore[override]
        """Labels that occur in the label map (N,), ascending."""
        return np.unique(self.label_map)

    @property
    def masks(self) -> np.ndarray:  # type: ignore[override]
        """The region of each of `labels` (N, H, W), bool."""
        return self.label_map == self.labels[:, None, None]

    def areas(self) -> dict[str, dict[str, float]]:
        """Return pixels and share of each class; see `class_areas`."""
        return class_areas(self.label_map, self.classes)

    def picture(
        self,
        opacity: float = 0.5,
        legend: bool = True,
        largest: int | None = None,
    ) -> np.ndarray:
        """Tint the image by the label of each pixel.

        Args:
            opacity: Opacity of the tint, 0 to 1; 1 hides the image.
            legend: If True, class names and their shares of the area are
                below the image.
            largest: Longest side of the picture in pixels; a larger image is
                reduced. None draws it as it is.

        Returns:
            The picture (height, width, 3), BGR, uint8. A legend adds to its
            height, and may add to its width.
        """
        pixels, labels = self._image, self.label_map
        factor = largest / max(labels.shape) if largest else 1
        if factor < 1:
            size = tuple(max(1, round(n * factor)) for n in labels.shape[::-1])
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
            labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
        return draw_labels(
            pixels,
            labels,
            self.classes,
            self.palette,
            opacity=opacity,
            legend=legend,
        )

    def for_json(self) -> list[dict[str, Any]]:
        """Return the content of a JSON file; see `to_coco`."""
        return self.to_coco()

    def to_coco(self, image_id: int = 1) -> list[dict[str, Any]]:
        """Return the regions as entries of COCO's stuff results format.

        Args:
            image_id: Id of the image.

        Returns:
            An entry for each class that occurs: its region as RLE, and as
            `category_id` its value in label maps of the data set. `file_name`
            and `category_name` are added for readers.

        Raises:
            ImportError: If pycocotools is not installed.
        """
        from pycocotools import mask as coco_mask

        entries = []
        for label in self.labels.tolist():
            region = np.asfortranarray(self.label_map == label, np.uint8)
            rle = coco_mask.encode(region)
            entries.append(
                {
                    'image_id': image_id,
                    'file_name': self.path or '',
                    'category_id': int(self.file_values[label]),
                    'category_name': self.classes[label],
                    'segmentation': {
                        'size': rle['size'],
                        'counts': rle['counts'].decode('ascii'),
                    },
                }
            )
        return entries

    def save_label_map(self, path: str | PathLike) -> Path:
        """Write the label map as PNG, with the pixel values of the data set.

        Args:
            path: The file; its name ends in `.png`.

        Returns:
            The path.

        Raises:
            ValueError: If the name has another suffix.
        """
        path = _png(path)
        values = self.file_values
        # PNG files have 8 or 16 bits.
        values = values.astype(np.uint8 if values.max() < 256 else np.uint16)
        cli.write_image(path, values[self.label_map])
        return path

    def save_colour_map(self, path: str | PathLike) -> Path:
        """Write the label map as PNG, in the colours of the classes.

        Args:
            path: The file; its name ends in `.png`.

        Returns:
            The path.

        Raises:
            ValueError: If the name has another suffix.
        """
        path = _png(path)
        pixels = colour_map(self.label_map, len(self.classes), self.palette)
        cli.write_image(path, pixels)
        return path


def _png(path: str | PathLike) -> Path:
    """Return the path of a PNG file.

    Raises:
        ValueError: If the name has another suffix.
    """
    if Path(path).suffix.lower() != '.png':
        raise ValueError(
            f'a label map is stored as .png, without loss; got {path}'
        )
    return Path(path)


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
