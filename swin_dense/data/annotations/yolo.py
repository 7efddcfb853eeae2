"""Read data sets of YOLO: boxes and polygons in text files.

A line of a label file is `class x y width height`, the box by its centre, or
`class x1 y1 x2 y2 x3 y3 ...`, a polygon; all as shares of the image's size.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from swin_dense.data.annotations.coco import AnnotatedImage, Object, size_of
from swin_dense.data.decoders.folder import PICTURES

SPLITS = ('train', 'val', 'test')


def read_yolo(
    source: Path,
) -> tuple[dict[str, list[AnnotatedImage]], list[str]]:
    """Read the splits of a data set.

    Args:
        source: Its `data.yaml`, or the folder that contains this file.

    Returns:
        The images of each split, and the class names in their order.

    Raises:
        FileNotFoundError: If a folder or list of images does not exist.
        ValueError: If the file has no names or no splits, or a label file
            cannot be read. The message names file and line.
    """
    file = _yaml_file(source)
    try:
        content: Any = yaml.safe_load(file.read_text('utf-8-sig'))
    except yaml.YAMLError as error:
        raise ValueError(f'{file} is not YAML: {error}') from None
    names = content.get('names') if isinstance(content, dict) else None
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names)]
    if not isinstance(names, list) or not names:
        raise ValueError(
            f'{file} has no names: expected is a list of class names, such as '
            'names: [cat, dog]'
        )
    classes = [str(name) for name in names]
    root = file.parent / str(content.get('path') or '')
    if not root.is_dir():  # Ultralytics reads it from a folder of its own
        root = file.parent
    splits = {}
    for split in SPLITS:
        places = content.get(split) or (
            content.get('valid') if split == 'val' else None
        )
        if places:
            places = places if isinstance(places, list) else [places]
            splits[split] = [
                _read_image(image, classes)
                for place in places
                for image in _images(file, root, str(place))
            ]
    if not splits:
        raise ValueError(
            f'{file} names no images: expected are train and val, such as '
            'train: images/train'
        )
    return splits, classes


def _yaml_file(source: Path) -> Path:
    """Return the file that describes a data set.

    Raises:
        FileNotFoundError: If there is none.
    """
    if source.is_file():
        return source
    files = sorted([*source.glob('*.yaml'), *source.glob('*.yml')])
    preferred = [file for file in files if file.stem in ('data', 'dataset')]
    if not files:
        raise FileNotFoundError(
            f'{source} has no data.yaml: expected is a file with the lines '
            'train: images/train, val: images/val, names: [cat, dog]'
        )
    return (preferred or files)[0]


def _images(file: Path, root: Path, place: str) -> Iterator[Path]:
    """Yield the images of a folder or a list.

    Raises:
        FileNotFoundError: If it does not exist.
    """
    # Roboflow writes ../train/images for train/images.
    paths = [root / place, file.parent / place.removeprefix('../')]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        raise FileNotFoundError(f'{file} names {paths[0]}, which is not there')
    if path.is_file():
        for line in path.read_text('utf-8-sig').splitlines():
            if line.strip():
                yield path.parent / line.strip()
        return
    for image in sorted(path.rglob('*')):
        if image.suffix.lower() in PICTURES:
            yield image


def _label_file(image: Path) -> Path:
    """Return the label file of an image: `labels` in place of `images`."""
    parts = [*image.parts]
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == 'images':
            parts[index] = 'labels'
            break
    return Path(*parts).with_suffix('.txt')


def _read_image(image: Path, classes: list[str]) -> AnnotatedImage:
    """Read an image's size and its label file; without one, no objects."""
    labels = _label_file(image)
    width, height = size_of(image, labels)
    objects = []
    lines = (
        labels.read_text('utf-8-sig').splitlines() if labels.exists() else ()
    )
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                objects.append(_read_line(line, classes, width, height))
            except ValueError as error:
                raise ValueError(f'{labels} line {number}: {error}') from None
    return AnnotatedImage(image, width, height, objects)


def _read_line(
    line: str, classes: list[str], width: int, height: int
) -> Object:
    """Return the object of a line.

    Raises:
        ValueError: If the line is no box and no polygon, or its numbers are
            not shares of the image's size.
    """
    first, *rest = line.split()
    try:
        label = int(first)
        values = [float(value) for value in rest]
    except ValueError:
        raise ValueError(f'{line!r} are not numbers') from None
    if not 0 <= label < len(classes):
        raise ValueError(
            f'class {label}, but there are names for 0 to {len(classes) - 1}'
        )
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise ValueError(
            f'{len(values)} numbers after the class: expected are 4 (box) or '
            'an even number of at least 6 (polygon)'
        )
    if not all(-0.01 <= value <= 1.01 for value in values):
        raise ValueError('numbers must be shares of the image size, 0 to 1')
    if len(values) > 4:
        sides = width, height
        ring = [value * sides[i % 2] for i, value in enumerate(values)]
        return Object(classes[label], rings=[ring])
    x, y, w, h = values
    box = (
        (x - w / 2) * width,
        (y - h / 2) * height,
        w * width,
        h * height,
    )
    return Object(classes[label], box)
