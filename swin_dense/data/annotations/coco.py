"""Build a COCO detection file from images and their objects."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swin_dense.data.image_checks import image_size

Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels."""


@dataclass
class Object:
    """An object of an image.

    Attributes:
        label: Class name.
        box: Its box; None to take that of the rings.
        rings: Polygons `[x1, y1, x2, y2, ...]` in pixels that together are
            its mask; empty if it has none.
        rle: Its mask as `dict(size=[height, width], counts=...)` in place of
            rings.
        is_ignored: True if the object is not to be trained on.
    """

    label: str
    box: Box | None = None
    rings: list[list[float]] = field(default_factory=list)
    rle: dict[str, Any] | None = None
    is_ignored: bool = False


@dataclass
class AnnotatedImage:
    """An image and its objects.

    Attributes:
        path: File of the image.
        width: Width in pixels.
        height: Height in pixels.
        objects: Its objects; empty if there are none.
    """

    path: Path
    width: int
    height: int
    objects: list[Object]


def size_of(path: Path, source: Path) -> tuple[int, int]:
    """Return the width and height of an image.

    Args:
        path: File of the image.
        source: File of its annotations, for the message.

    Raises:
        ValueError: If the image cannot be read.
    """
    try:
        return image_size(path)
    except ValueError as error:
        raise ValueError(f'{source}: its image {path} {error}') from None


def box_of(rings: Sequence[Sequence[float]]) -> Box:
    """Return the smallest box around polygons."""
    xs = [value for ring in rings for value in ring[::2]]
    ys = [value for ring in rings for value in ring[1::2]]
    left, top = min(xs), min(ys)
    return left, top, max(xs) - left, max(ys) - top


def area_of(ring: Sequence[float]) -> float:
    """Return the area of a polygon in square pixels."""
    xs, ys = ring[::2], ring[1::2]
    doubled = sum(
        xs[i - 1] * ys[i] - xs[i] * ys[i - 1] for i in range(len(xs))
    )
    return abs(doubled) / 2


def to_coco(
    images: Sequence[AnnotatedImage], classes: Sequence[str], folder: Path
) -> dict[str, Any]:
    """Return images and objects as a COCO detection file.

    Args:
        images: The images.
        classes: Class names; the category ids are their places from 1.
        folder: Folder of the JSON file. Names of images are relative to it.

    Raises:
        ValueError: If an object has another class.
    """
    ids = {name: number for number, name in enumerate(classes, 1)}
    data: dict[str, Any] = {
        'images': [],
        'annotations': [],
        'categories': [
            {'id': number, 'name': name} for name, number in ids.items()
        ],
    }
    for image_id, image in enumerate(images, 1):
        name = os.path.relpath(image.path, folder)
        data['images'].append(
            {
                'id': image_id,
                'file_name': Path(name).as_posix(),
                'width': image.width,
                'height': image.height,
            }
        )
        for item in image.objects:
            if item.label not in ids:
                raise ValueError(
                    f'{image.path} has an object of class {item.label!r}, '
                    f'which is not among the classes {list(ids)}'
                )
            box = item.box or box_of(item.rings)
            annotation = {
                'id': len(data['annotations']) + 1,
                'image_id': image_id,
                'category_id': ids[item.label],
                'bbox': [round(value, 3) for value in box],
                'area': round(box[2] * box[3], 3),
                'iscrowd': 0,
            }
            if item.rings:
                annotation['segmentation'] = [
                    [round(value, 3) for value in ring] for ring in item.rings
                ]
                annotation['area'] = round(sum(map(area_of, item.rings)), 3)
            if item.rle:
                annotation['segmentation'] = item.rle
            if item.is_ignored:
                annotation['ignore'] = 1
            data['annotations'].append(annotation)
    return data


def class_names(images: Sequence[AnnotatedImage]) -> list[str]:
    """Return the class names that occur, sorted."""
    return sorted({item.label for image in images for item in image.objects})
