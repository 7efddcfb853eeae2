"""Check a COCO annotation file before training.

All functions take the parsed JSON and raise a ValueError that gives the file,
the ids and the remedy. The types of fields, boxes and masks are checked by
`annotation_fields`, `box_checks` and `mask_checks`.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swin_dense.data.messages import check_class_names, duplicates
from swin_dense.files import read_json
from swin_dense.wording import first_few

UnusableIds = dict[str, list[Any]]
"""Ids of images or annotations that cannot be used, by reason."""

# Share of unusable annotations that is left out instead of raising. COCO 2017
# has a few boxes without area among 860 000. In a small file a single one is
# above this share.
TOLERATED = 1e-3
REQUIRED = {
    'images': ('id', 'file_name', 'height', 'width'),
    'annotations': ('id', 'image_id', 'category_id', 'bbox'),
    'categories': ('id', 'name'),
}


def load_coco(path: str | Path, need_annotations: bool = True) -> dict:
    """Load a COCO detection file and check its structure.

    A byte order mark is skipped. The types of the fields are checked by
    `swin_dense.detection.annotation_fields`.

    Args:
        path: The JSON file.
        need_annotations: If False, a file without `annotations`, such as
            COCO's test-dev, gets an empty list of them. Otherwise it is an
            error.

    Returns:
        The parsed file.

    Raises:
        ValueError: If the file cannot be read, or does not have the lists
            and fields of a COCO detection file.
    """
    data = read_json(path)
    if not isinstance(data, dict):
        raise ValueError(
            f'{path} is not a COCO detection file: it contains a '
            f'{type(data).__name__}, expected is an object with images, '
            'annotations and categories (a list is a file of predictions)'
        )
    if not need_annotations and data.get('annotations') is None:
        data['annotations'] = []
    for part, keys in REQUIRED.items():
        _check_part(data, part, path)
        for key in keys:
            without = [
                entry.get('id', f'number {i}')
                for i, entry in enumerate(data[part])
                if key not in entry
            ]
            if without:
                raise ValueError(
                    f'{path}: {part} without {key!r}: '
                    f'{first_few(without)}. Add it to each of them'
                )
    return data


def _check_part(data: dict, part: str, path: str | Path) -> None:
    """Raise a ValueError unless `data[part]` is a list of objects."""
    entries = data.get(part)
    if not isinstance(entries, list):
        reason = (
            f'but {type(entries).__name__} there'
            if part in data
            else f'only {first_few(data, 8)}'
        )
        raise ValueError(
            f'{path} is not a COCO detection file: it has no '
            f'list {part!r}, {reason}'
        )
    strange = [
        i for i, entry in enumerate(entries) if not isinstance(entry, dict)
    ]
    if strange:
        raise ValueError(
            f'{path} is not a COCO detection file: entries '
            f'of {part!r} must be objects; these are not: '
            f'number {first_few(strange)}'
        )
    if not entries and part != 'annotations':
        raise ValueError(f'{path}: the list {part!r} is empty')


def check_ids(data: dict, path: str | Path) -> None:
    """Check that ids and file names are unique and annotations have images.

    Raises:
        ValueError: If ids or file names are duplicates, or the image of an
            annotation is not in the file.
    """
    for part, key in (
        ('images', 'id'),
        ('images', 'file_name'),
        ('annotations', 'id'),
    ):
        shared = duplicates(entry[key] for entry in data[part])
        if shared:
            raise ValueError(
                f'{path}: {part} share the {key} {first_few(shared)}. Every '
                f'{key} must be unique: renumber them, for instance when '
                'files are merged'
            )
    images = {image['id'] for image in data['images']}
    lonely = [
        ann['id']
        for ann in data['annotations']
        if ann['image_id'] not in images
    ]
    if lonely:
        raise ValueError(
            f'{path}: annotations of images that are not in the file, ids '
            f'{first_few(lonely)}. Add the images, or remove these annotations'
        )


def check_categories(data: dict, path: str | Path) -> None:
    """Check that categories are unique and annotations use no others.

    Raises:
        ValueError: If ids or names of categories are duplicates, or an
            annotation has a category that is not in the file.
    """
    for key in ('id', 'name'):
        shared = duplicates(cat[key] for cat in data['categories'])
        if shared:
            raise ValueError(
                f'{path}: categories share the {key} {first_few(shared)}. '
                f'Every {key} must be unique: rename or merge them'
            )
    known = {cat['id'] for cat in data['categories']}
    strange = {
        ann['id']: ann['category_id']
        for ann in data['annotations']
        if ann['category_id'] not in known
    }
    if strange:
        raise ValueError(
            f'{path}: annotations {first_few(strange)} use the category ids '
            f'{first_few(sorted(set(strange.values())))}, but the categories '
            f'are {first_few(sorted(known), 20)}. Add the categories, or '
            'correct the annotations'
        )


def match_classes(
    data: dict,
    classes: Sequence[str] | None,
    path: str | Path,
    allow_subset: bool = False,
) -> list[int]:
    """Return the category id of each class, matched by name.

    Args:
        data: The parsed file.
        classes: Class names in label order; None takes all categories in the
            order of the file.
        path: The annotation file, for messages.
        allow_subset: If True, annotations of categories that are not in
            `classes` may be left out. Otherwise they are an error.

    Returns:
        Category ids in label order.

    Raises:
        ValueError: If `classes` is a string, is empty or repeats a name; if
            a name is not in the file; or if annotations would be left out
            without `allow_subset`.
    """
    ids = {cat['name']: cat['id'] for cat in data['categories']}
    if classes is None:
        classes = list(ids)
    check_class_names(classes, path, list(ids))
    used = Counter(ann['category_id'] for ann in data['annotations'])
    unused = {
        name: used[id_]
        for name, id_ in ids.items()
        if name not in classes and used[id_]
    }
    if unused and not allow_subset:
        counts = ', '.join(f'{name!r} ({n})' for name, n in unused.items())
        raise ValueError(
            f'{path}: {sum(unused.values())} annotations belong to categories '
            f'that are not in classes: {counts}. Add these names to classes, '
            'or set allow_subset=True in the dataset to leave them out'
        )
    return [ids[name] for name in classes]


def check_share(ids: Sequence[Any], total: int, message: str) -> None:
    """Check that only a small share of annotations is unusable.

    Args:
        ids: Ids of the unusable annotations.
        total: Number of all annotations.
        message: Beginning of the error message.

    Raises:
        ValueError: If the share is above `TOLERATED`.
    """
    if len(ids) > TOLERATED * total:
        raise ValueError(
            f'{message}: annotations {first_few(ids)} ({len(ids)} of {total})'
        )


def describe_lost(lost: UnusableIds) -> str:
    """Return a table with the count and the first ids of each reason."""
    width = max(map(len, lost), default=0)
    return '\n'.join(
        f'  {reason:<{width}}  {len(ids):>7}  ids {first_few(ids)}'
        for reason, ids in lost.items()
    )
