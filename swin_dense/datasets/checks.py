"""Checks of a COCO annotation file, before anything trains on it.

Pure functions of the parsed JSON. Each raises a ValueError that names the
file, the ids, and what to do. Types of fields, boxes and masks have their own
modules: `annotation_fields`, `geometry` and `mask_checks`.
"""
import difflib
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence, Union

from swin_dense.files import read_json

__all__ = [
    'Lost', 'absent_data', 'check_categories', 'check_class_names',
    'check_ids', 'check_one_list', 'check_share', 'describe_lost', 'load_coco',
    'match_classes', 'nearest_name', 'some'
]

Lost = Dict[str, List[Any]]
"""Ids of images or annotations that cannot be used, by reason."""

# COCO 2017 itself has a few boxes without area among 860 000: that many must
# not stop a training. In a small file a single one is above this share.
TOLERATED = 1e-3
REQUIRED = {
    'images': ('id', 'file_name', 'height', 'width'),
    'annotations': ('id', 'image_id', 'category_id', 'bbox'),
    'categories': ('id', 'name'),
}


def some(ids: Iterable[Any], most: int = 5) -> str:
    """The first few ids, and how many there are."""
    ids = list(ids)
    text = ', '.join(map(str, ids[:most]))
    return text if len(ids) <= most else f'{text}, … ({len(ids)} in all)'


def load_coco(path: Union[str, Path], need_annotations: bool = True) -> dict:
    """Read a COCO detection file and check that it is one.

    A byte order mark is skipped. The types of the fields are checked by
    `swin_dense.datasets.annotation_fields`.

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
            'annotations and categories (a list is a file of predictions)')
    if not need_annotations and data.get('annotations') is None:
        data['annotations'] = []
    for part, keys in REQUIRED.items():
        _check_part(data, part, path)
        for key in keys:
            without = [
                entry.get('id', f'number {i}')
                for i, entry in enumerate(data[part]) if key not in entry
            ]
            if without:
                raise ValueError(f'{path}: {part} without {key!r}: '
                                 f'{some(without)}. COCO needs it in each')
    return data


def _check_part(data: dict, part: str, path: Union[str, Path]) -> None:
    """Raise unless a file has a list of objects by a name."""
    entries = data.get(part)
    if not isinstance(entries, list):
        found = f'but {type(entries).__name__} there' if part in data else (
            f'only {some(data, 8)}')
        raise ValueError(f'{path} is not a COCO detection file: it has no '
                         f'list {part!r}, {found}')
    strange = [
        i for i, entry in enumerate(entries) if not isinstance(entry, dict)
    ]
    if strange:
        raise ValueError(f'{path} is not a COCO detection file: entries '
                         f'of {part!r} must be objects; these are not: '
                         f'number {some(strange)}')
    if not entries and part != 'annotations':
        raise ValueError(f'{path}: the list {part!r} is empty')


def _repeated(values: Iterable[Any]) -> List[Any]:
    """Values that occur more than once."""
    return [value for value, n in Counter(values).items() if n > 1]


def check_ids(data: dict, path: Union[str, Path]) -> None:
    """Raise if ids or file names repeat, or an annotation has no image."""
    for part, key in (('images', 'id'), ('images', 'file_name'),
                      ('annotations', 'id')):
        repeated = _repeated(entry[key] for entry in data[part])
        if repeated:
            raise ValueError(
                f'{path}: {part} share the {key} {some(repeated)}. Every '
                f'{key} must be unique: number them anew, for instance when '
                'files are merged')
    images = {image['id'] for image in data['images']}
    lonely = [
        ann['id'] for ann in data['annotations']
        if ann['image_id'] not in images
    ]
    if lonely:
        raise ValueError(
            f'{path}: annotations of images that are not in the file, ids '
            f'{some(lonely)}. Add the images, or remove these annotations')


def check_categories(data: dict, path: Union[str, Path]) -> None:
    """Raise if categories repeat, or annotations use one that is absent."""
    for key in ('id', 'name'):
        repeated = _repeated(cat[key] for cat in data['categories'])
        if repeated:
            raise ValueError(
                f'{path}: categories share the {key} {some(repeated)}. '
                f'Every {key} must be unique')
    known = {cat['id'] for cat in data['categories']}
    strange = {
        ann['id']: ann['category_id']
        for ann in data['annotations'] if ann['category_id'] not in known
    }
    if strange:
        raise ValueError(
            f'{path}: annotations {some(strange)} use the category ids '
            f'{some(sorted(set(strange.values())))}, but the categories are '
            f'{some(sorted(known), 20)}. Add the categories, or correct the '
            'annotations')


def nearest_name(name: str, names: Sequence[str]) -> Optional[str]:
    """The name meant by a mistyped one, if any is close."""
    plain = {str(other).strip().casefold(): other for other in names}
    close = difflib.get_close_matches(name.strip().casefold(), plain, 1, .6)
    return plain[close[0]] if close else None


def check_class_names(classes: Sequence[str],
                      source: Any,
                      known: Optional[Sequence[str]] = None) -> None:
    """Check names of classes that were given.

    Args:
        classes: Names in label order.
        source: What has the classes, for messages.
        known: Names to choose from; None if any will do.

    Raises:
        ValueError: `classes` is a string, empty or repeats a name, or a name
            is not known.
    """
    if isinstance(classes, str):
        raise ValueError(f'classes must be a list of names; got {classes!r}: '
                         f'write [{classes!r}]')
    if not classes:
        choice = '' if known is None else (
            f': {source} has the categories {some(known, 20)}')
        raise ValueError(f'no classes{choice}')
    if _repeated(classes):
        raise ValueError(f'classes name {some(_repeated(classes))} more than '
                         'once: a label has one name')
    problems = []
    for name in classes:
        if known is not None and name not in known:
            near = nearest_name(name, known)
            hint = f' (did you mean {near!r}?)' if near else ''
            problems.append(f'class {name!r} is not in {source}{hint}')
    if problems:
        raise ValueError('; '.join(problems) +
                         f'. Categories there: {some(map(repr, known), 100)}')


def match_classes(data: dict,
                  classes: Optional[Sequence[str]],
                  path: Union[str, Path],
                  allow_subset: bool = False) -> List[int]:
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
        for name, id_ in ids.items() if name not in classes and used[id_]
    }
    if unused and not allow_subset:
        counts = ', '.join(f'{name!r} ({n})' for name, n in unused.items())
        raise ValueError(
            f'{path}: {sum(unused.values())} annotations belong to categories '
            f'that are not in classes: {counts}. Add these names to classes, '
            'or set allow_subset=True in the dataset to leave them out')
    return [ids[name] for name in classes]


def check_one_list(ann_file: Any) -> None:
    """Raise if several lists are given where a data set reads one."""
    if isinstance(ann_file, (list, tuple)):
        raise ValueError(
            f'ann_file is a list of {len(ann_file)}: a data set reads one '
            "file. Write type='ConcatDataset', datasets=[dict(ann_file=…), "
            'dict(ann_file=…)], whose labels are then compared')


def absent_data(missing: str,
                root: Optional[str],
                expected: Sequence[str],
                quick_start: str,
                kind: str = 'images') -> str:
    """What to say when there is no data set.

    Args:
        missing: The path that does not exist.
        root: The data set's `data_root`.
        expected: Paths of the tree that was looked for.
        quick_start: Name of a config that generates its data.
        kind: What it generates.
    """
    place = Path(root or '.')
    state = 'exists' if place.is_dir() else 'does not exist'
    tree = '\n'.join(f'  {path}' for path in expected)
    return (f'no data set: {missing} does not exist (data_root {place} '
            f'{state}; working directory {Path.cwd()}).\n'
            f'Expected:\n{tree}\n'
            'Put or link the data set there, or set data_root. Without any '
            f'data, start with generated {kind}:\n'
            f'  python tools/train.py configs/{quick_start}.py')


def check_share(ids: Sequence[Any], total: int, message: str) -> None:
    """Raise `message` with the ids, if they are more than a rare slip."""
    if len(ids) > TOLERATED * total:
        raise ValueError(f'{message}: annotations {some(ids)} '
                         f'({len(ids)} of {total})')


def describe_lost(lost: Lost) -> str:
    """Table of counts by reason with the first ids of each."""
    width = max(map(len, lost), default=0)
    return '\n'.join(f'  {reason:<{width}}  {len(ids):>7}  ids {some(ids)}'
                     for reason, ids in lost.items())
