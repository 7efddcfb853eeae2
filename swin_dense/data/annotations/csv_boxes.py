"""Read boxes from a CSV file, a line for each object."""

import csv
from pathlib import Path

from swin_dense.data.annotations.coco import AnnotatedImage, Object, size_of

# Names of the columns, first match first.
COLUMNS = {
    'file': ('filename', 'file_name', 'image', 'image_path', 'path', 'file'),
    'label': ('class', 'label', 'class_name', 'category', 'name'),
    'left': ('xmin', 'x1', 'left', 'x_min'),
    'top': ('ymin', 'y1', 'top', 'y_min'),
    'right': ('xmax', 'x2', 'right', 'x_max'),
    'bottom': ('ymax', 'y2', 'bottom', 'y_max'),
}
# Without a header, as RetinaNet reads it.
ORDER = ('file', 'left', 'top', 'right', 'bottom', 'label')


def read_csv(source: Path, images: Path | None) -> list[AnnotatedImage]:
    """Read the images of a CSV file.

    Args:
        source: The file, with a header such as
            `filename,class,xmin,ymin,xmax,ymax` or without it as
            `path,x1,y1,x2,y2,class`. A line without box is an image without
            objects.
        images: Folder that names of images are relative to; by default that
            of the file, or its `images`.

    Raises:
        FileNotFoundError: If an image does not exist.
        ValueError: If the columns are unknown, or a line cannot be read. The
            message names the line.
    """
    with open(source, encoding='utf-8-sig', newline='') as file:
        rows = list(csv.reader(file))
    if not rows:
        raise ValueError(f'{source} is empty')
    header = [cell.strip().casefold() for cell in rows[0]]
    places = {
        name: next((header.index(key) for key in keys if key in header), None)
        for name, keys in COLUMNS.items()
    }
    first = 1
    if None in places.values():
        if len(header) != len(ORDER) or any(
            place is not None for place in places.values()
        ):
            raise ValueError(
                f'{source} has the columns {header}: expected are filename, '
                'class, xmin, ymin, xmax, ymax, or without a header path, x1, '
                'y1, x2, y2, class'
            )
        places, first = {name: i for i, name in enumerate(ORDER)}, 0
    folders = [images] if images else [source.parent, source.parent / 'images']
    found: dict[str, AnnotatedImage] = {}
    for number, row in enumerate(rows[first:], first + 1):
        if not any(cell.strip() for cell in row):
            continue
        row = row + [''] * (len(header) - len(row))
        cells = {name: row[places[name] or 0].strip() for name in COLUMNS}
        name = cells['file']
        if name not in found:
            found[name] = _image(name, folders, source, number)
        edges = [cells[key] for key in ('left', 'top', 'right', 'bottom')]
        if not any(edges) and not cells['label']:
            continue
        try:
            left, top, right, bottom = map(float, edges)
        except ValueError:
            raise ValueError(
                f'{source} line {number}: {edges} are not four numbers'
            ) from None
        if right <= left or bottom <= top:
            raise ValueError(
                f'{source} line {number}: xmax must be larger than xmin, and '
                f'ymax than ymin; got {edges}'
            )
        found[name].objects.append(
            Object(cells['label'], (left, top, right - left, bottom - top))
        )
    return [*found.values()]


def _image(
    name: str, folders: list[Path], source: Path, number: int
) -> AnnotatedImage:
    """Return an image without objects.

    Raises:
        FileNotFoundError: If it does not exist.
    """
    for folder in folders:
        if (folder / name).is_file():
            return AnnotatedImage(
                folder / name, *size_of(folder / name, source), []
            )
    raise FileNotFoundError(
        f'{source} line {number}: there is no image {name!r} in '
        f'{", ".join(map(str, folders))}; --images DIR names another folder'
    )
