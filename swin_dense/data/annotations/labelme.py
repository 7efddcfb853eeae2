"""Read the JSON files of labelme: polygons, rectangles, circles and masks."""

import base64
import binascii
import io
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from swin_dense.data.annotations.coco import AnnotatedImage, Object, size_of
from swin_dense.files import read_json

# Points of the polygon that stands for a circle.
CIRCLE_POINTS = 36


def read_labelme(source: Path) -> tuple[list[AnnotatedImage], Counter[str]]:
    """Read the images of a folder.

    Shapes of one label and one `group_id` are parts of one object.

    Args:
        source: A folder with a JSON file for each image, in any depth.

    Returns:
        The images, and the number of shapes that are no areas (points and
        lines), which are left out, by their type.

    Raises:
        FileNotFoundError: If there are no JSON files of labelme.
        ValueError: If a file cannot be read. The message names it.
    """
    left_out: Counter[str] = Counter()
    images = []
    for file in sorted(source.rglob('*.json')):
        content = read_json(file)
        if isinstance(content, dict) and 'shapes' in content:
            images.append(_read(file, content, left_out))
    if not images:
        raise FileNotFoundError(
            f'{source} has no JSON files of labelme, which have "shapes" and '
            '"imagePath"'
        )
    return images, left_out


def _read(
    file: Path, content: dict[str, Any], left_out: Counter[str]
) -> AnnotatedImage:
    """Read the content of the JSON file of an image."""
    name = str(content.get('imagePath') or '').replace('\\', '/')
    image = file.parent / name
    if not name or not image.is_file():
        image = file.parent / Path(name or file.stem).name
    width, height = size_of(image, file)
    groups: dict[tuple[str, Any], Object] = {}
    for number, shape in enumerate(content['shapes'], 1):
        kind = str(shape.get('shape_type') or 'polygon')
        label = str(shape.get('label') or '').strip()
        if not label:
            raise ValueError(f'{file}: shape {number} has no label')
        try:
            points = [(float(x), float(y)) for x, y in shape['points']]
            item = _object(label, kind, points, shape, (width, height))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'{file}: shape {number} ({kind}) cannot be read: {error}'
            ) from None
        if item is None:
            left_out[kind] += 1
            continue
        group = shape.get('group_id')
        key = (label, ('group', group) if group is not None else number)
        if key in groups and groups[key].rings and item.rings:
            groups[key].rings += item.rings
        else:
            groups[(label, number) if key in groups else key] = item
    return AnnotatedImage(image, width, height, [*groups.values()])


def _object(
    label: str,
    kind: str,
    points: list[tuple[float, float]],
    shape: dict[str, Any],
    size: tuple[int, int],
) -> Object | None:
    """Return the object of a shape, None if it is no area.

    Raises:
        ValueError: If it has too few points, or no mask.
    """
    if kind == 'polygon':
        if len(points) < 3:
            raise ValueError(f'{len(points)} points, expected are 3 or more')
        return Object(label, rings=[_ring(points, size)])
    if kind == 'rectangle':
        xs, ys = zip(*points)
        corners = [
            (min(xs), min(ys)),
            (max(xs), min(ys)),
            (max(xs), max(ys)),
            (min(xs), max(ys)),
        ]
        return Object(label, rings=[_ring(corners, size)])
    if kind == 'circle':
        (x, y), (edge_x, edge_y) = points
        radius = math.hypot(edge_x - x, edge_y - y)
        turns = [2 * math.pi * i / CIRCLE_POINTS for i in range(CIRCLE_POINTS)]
        circle = [
            (x + radius * math.cos(turn), y + radius * math.sin(turn))
            for turn in turns
        ]
        return Object(label, rings=[_ring(circle, size)])
    if kind == 'mask':
        return _mask(label, points, shape.get('mask'), size)
    return None


def _ring(
    points: list[tuple[float, float]], size: tuple[int, int]
) -> list[float]:
    """Return the points as a ring, moved into the image."""
    width, height = size
    return [
        value
        for x, y in points
        for value in (min(max(x, 0), width), min(max(y, 0), height))
    ]


def _mask(
    label: str,
    points: list[tuple[float, float]],
    encoded: Any,
    size: tuple[int, int],
) -> Object:
    """Return the object of a mask, a PNG that fills the box of its points.

    Raises:
        ValueError: If there is no such PNG, or it is empty.
    """
    from pycocotools import mask as coco_mask

    try:
        png = base64.b64decode(encoded, validate=True)
        part = np.asarray(Image.open(io.BytesIO(png))) > 0
    except (TypeError, binascii.Error, OSError) as error:
        raise ValueError(f'its mask is no PNG ({error})') from None
    width, height = size
    left, top = (round(value) for value in points[0])
    full = np.zeros((height, width), np.uint8)  # (H, W)
    place = full[top : top + part.shape[0], left : left + part.shape[1]]
    place[:] = part[: place.shape[0], : place.shape[1]]
    if not full.any():
        raise ValueError('its mask is empty')
    rle = coco_mask.encode(np.asfortranarray(full))
    box = coco_mask.toBbox(rle).tolist()
    counts = rle['counts'].decode()
    return Object(
        label, tuple(box), rle={'size': [height, width], 'counts': counts}
    )
