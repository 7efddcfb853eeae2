"""Checks of a COCO annotation file, before anything trains on it.

Pure functions of the parsed JSON. Each raises a ValueError that names the
file, the ids, and what to do. Types of fields, boxes and masks have their own
modules: `annotation_fields`, `geometry` and `mask_checks`.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swin_dense.data.messages import check_class_names, duplicates, first_few
from swin_dense.files import read_json

UnusableIds = dict[str, list[Any]]
"""Ids of images or annotations that cannot be used, by reason."""

# COCO 2017 itself has a few boxes without area among 860 000: that many must
# not stop a training. In a small file a single one is above this share.
TOLERATED = 1e-3
REQUIRED = {
    'images': ('id', 'file_name', 'height', 'width'),
    'annotations': ('id', 'image_id', 'category_id', 'bbox'),
    'categories': ('id', 'name'),
}


def load_coco(path: str | Path, need_annotations: bool = True) -> dict:
    """Read a COCO detection file and check that it is one.

    A byte order mark is skipped. The types of the fields are checked by
    `swin_dense.detection.annotation_fields`.

    Args:
        path: The JSON file.
        need_annotations: Whether a file without `annotations`, such as
            COCO's test-dev, is an error or one without objects.

    Raises:
        ValueError: It is not such a file; the message says what was found
            and what is expected.
    """
    data = read_json(path)
    if not isinstance(data, dict):
        raise ValueError(
            f'{path} is not a COCO detection file: it holds a '
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
                    f'{first_few(without)}. COCO needs it in each'
                )
    return data


def _check_part(data: dict, part: str, path: str | Path) -> None:
    """Raise unless a file has a list of objects by a name."""
    entries = data.get(part)
    if not isinstance(entries, list):
        found = (
            f'but {type(entries).__name__} there'
            if part in data
            else (f'only {first_few(data, 8)}')
        )
        raise ValueError(
            f'{path} is not a COCO detection file: it has no '
            f'list {part!r}, {found}'
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
    """Raise if ids or file names repeat, or an annotation has no image."""
    for part, key in (
        ('images', 'id'),
        ('images', 'file_name'),
        ('annotations', 'id'),
    ):
        repeated = duplicates(entry[key] for entry in data[part])
        if repeated:
            raise ValueError(
                f'{path}: {part} share the {key} {first_few(repeated)}. Every '
                f'{key} must be unique: number them anew, for instance when '
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
    """Raise if categories repeat, or annotations use one that is absent."""
    for key in ('id', 'name'):
        repeated = duplicates(cat[key] for cat in data['categories'])
        if repeated:
            raise ValueError(
                f'{path}: categories share the {key} {first_few(repeated)}. '
                f'Every {key} must be unique'
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
            'are '
            f'{first_few(sorted(known), 20)}. Add the categories, or correct '
            'the '
            'annotations'
        )


def match_classes(
    data: dict,
    classes: Sequence[str] | None,
    path: str | Path,
    allow_subset: bool = False,
) -> list[int]:
    """Category id of each class, by name, in the user's order.

    Args:
        data: The parsed file.
        classes: Names in label order; None takes all, in the file's order.
        path: For messages.
        allow_subset: Whether annotations of categories that are not in
            `classes` may be left out.

    Raises:
        ValueError: `classes` is a string, empty or repeats a name; a name is
            not in the file; or annotations would be left out unasked.
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
    """Raise `message` with the ids, if they are more than a rare slip."""
    if len(ids) > TOLERATED * total:
        raise ValueError(
            f'{message}: annotations {first_few(ids)} ({len(ids)} of {total})'
        )


def describe_lost(lost: UnusableIds) -> str:
    """Table of counts by reason with the first ids of each."""
    width = max(map(len, lost), default=0)
    return '\n'.join(
        f'  {reason:<{width}}  {len(ids):>7}  ids {first_few(ids)}'
        for reason, ids in lost.items()
    )
