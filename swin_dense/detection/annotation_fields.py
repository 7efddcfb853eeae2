"""Check and convert the types of the fields in a COCO annotation file.

Some exporters write text, null or lists where the format has a number. Values
with one possible meaning are converted: integers as text or with a fraction
of zero, and true or false in flags. Other values are errors, which give the
field, the entries, their type and the expected type.
"""

import math
import re
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from swin_dense.detection.annotation_checks import UnusableIds
from swin_dense.wording import first_few

INTEGER = re.compile(r'\s*(0|-?[1-9]\d{0,17})\s*')
NUMBER = re.compile(r'\s*-?(\d{1,18}\.?\d{0,18}|\.\d{1,18})\s*')
# Largest side of an image in pixels. Larger ones overflow in the libraries.
MAX_SIZE = 2**20
MAX_ID = 2**63
FLAGS: dict[Any, int] = {0: 0, 1: 1, '0': 0, '1': 1, 'false': 0, 'true': 1}
# Fields that refer to each other. Their ids must have the same type.
LINKED = (
    (('images', 'id'), ('annotations', 'image_id')),
    (('categories', 'id'), ('annotations', 'category_id')),
    (('annotations', 'id'),),
)
MOST_PROBLEMS = 10
PIXELS = f'a whole number of pixels, 1 to {MAX_SIZE}'
# Deepest nesting of lists in a segmentation: rings of points of numbers.
DEEPEST = 3


class Unreadable(ValueError):
    """A value cannot be converted to the type of its field."""


def describe_type(value: Any) -> str:
    """Return the JSON type of a value in words, with short values quoted."""
    if value is None:
        return 'null'
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, str):
        short = value if len(value) <= 30 else f'{value[:30]}...'
        return f'the text {short!r}'
    if isinstance(value, list):
        return f'a list of {len(value)}'
    if isinstance(value, dict):
        return (
            f'an object with {first_few(value, 3)}' if value else 'an object'
        )
    try:
        return f'the number {value:.6g}'
    except OverflowError:
        return 'a number that is too large'


def _read_integer(value: Any) -> int:
    """Read an integer, also from text or from a float without fraction."""
    if isinstance(value, str) and INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if type(value) is not int or abs(value) >= MAX_ID:
        raise Unreadable
    return value


def _read_size(value: Any) -> int:
    """Read a side of an image in pixels."""
    size = _read_integer(value)
    if not 0 < size <= MAX_SIZE:
        raise Unreadable
    return size


def _read_text(value: Any) -> str:
    """Read a text that is not empty."""
    if not isinstance(value, str) or not value.strip() or '\0' in value:
        raise Unreadable
    return value


def _read_name(value: Any) -> str:
    """Read a name, which may be an integer: some data sets have digits."""
    return str(value) if type(value) is int else _read_text(value)


def read_number(value: Any) -> Any:
    """Read a number, also from text; NaN and infinity are kept.

    Raises:
        Unreadable: If the value is not a number, or too large for a float.
    """
    if isinstance(value, str) and NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Unreadable
    try:
        float(value)
    except OverflowError:
        raise Unreadable from None
    return value


def _read_box(value: Any) -> list[float]:
    """Read four numbers."""
    if not isinstance(value, list) or len(value) != 4:
        raise Unreadable
    return [read_number(number) for number in value]


def _read_area(value: Any) -> Any:
    """Read an area; null, NaN and infinity give None, to be computed."""
    if value is None or not math.isfinite(read_number(value)):
        return None
    return read_number(value)


def _read_flag(value: Any) -> int:
    """Read 0 or 1; null is 0."""
    if value is None:
        return 0
    if isinstance(value, str):
        value = value.strip().lower()
    if isinstance(value, (list, dict)) or value not in FLAGS:
        raise Unreadable
    return FLAGS[value]


def _is_box(values: Sequence[Any]) -> bool:
    """Return True if all values are lists of four numbers.

    Checks all values at once, which is faster than reading each.
    """
    if {*map(type, values)} != {list} or {*map(len, values)} != {4}:
        return False
    numbers = list(chain.from_iterable(values))
    try:
        sum(map(float, numbers))
    except (OverflowError, TypeError, ValueError):
        return False
    return {*map(type, numbers)} <= {int, float}


def _is_size(values: Sequence[Any]) -> bool:
    """Return True if all values are sides in pixels."""
    return {*map(type, values)} == {int} and (
        0 < min(values) <= max(values) < MAX_SIZE
    )


def _is_flag(values: Sequence[Any]) -> bool:
    """Return True if all values are 0 or 1."""
    return {*map(type, values)} == {int} and {*values} <= {0, 1}


class Field(NamedTuple):
    """The expected type of a field, and how to read it.

    Attributes:
        part: Name of the list whose entries have the field.
        key: Name of the field.
        expected: Description of the expected values.
        read: Converts a value, or raises `Unreadable`.
        is_clean: Returns True if all values have the expected type already.
        is_required: True if each entry must have the field.
    """

    part: str
    key: str
    expected: str
    read: Callable[[Any], Any]
    is_clean: Callable[[Sequence[Any]], bool]
    is_required: bool = True


def _is_text(values: Sequence[Any]) -> bool:
    """Return True if all values are text that is not empty."""
    return {*map(type, values)} == {str} and all(map(str.strip, values))


FIELDS = (
    Field('images', 'file_name', 'a path as text', _read_text, _is_text),
    Field('images', 'width', PIXELS, _read_size, _is_size),
    Field('images', 'height', PIXELS, _read_size, _is_size),
    Field('categories', 'name', 'a name as text', _read_name, _is_text),
    Field(
        'annotations', 'bbox', 'four numbers [x, y, w, h]', _read_box, _is_box
    ),
    Field('annotations', 'area', 'a number', _read_area, _is_size, False),
    Field('annotations', 'iscrowd', '0 or 1', _read_flag, _is_flag, False),
    Field('annotations', 'ignore', '0 or 1', _read_flag, _is_flag, False),
)


def check_fields(data: dict, path: Any) -> UnusableIds:
    """Check the type of each field; convert values, in place, if possible.

    Args:
        data: The parsed file, whose entries have all required fields.
        path: The annotation file, for messages.

    Returns:
        Ids of the entries that were converted, by field.

    Raises:
        ValueError: If values cannot be converted. The message has a line for
            each field with the entries, their type and the expected type.
    """
    done: UnusableIds = {}
    problems: list[str] = []
    for group in LINKED:
        _check_ids(data, group, done, problems)
    _check_nesting(data, problems)
    for field in FIELDS:
        entries = [
            entry
            for entry in data[field.part]
            if field.is_required or field.key in entry
        ]
        _check_field(entries, field, done, problems)
    if problems:
        lines = [
            f'{path}: fields of the wrong type',
            *problems[:MOST_PROBLEMS],
        ]
        if len(problems) > MOST_PROBLEMS:
            lines.append(f'... {len(problems) - MOST_PROBLEMS} more')
        raise ValueError('\n  '.join(lines))
    return done


def _label(index: int, entry: dict) -> str:
    """Return the id of an entry, or its number in the list if it has none."""
    id_ = entry.get('id')
    usable = isinstance(id_, (int, str)) and not isinstance(id_, bool)
    return str(id_) if usable else f'number {index}'


def _check_field(
    entries: list[dict], field: Field, done: UnusableIds, problems: list[str]
) -> None:
    """Convert a field of all entries; add ids to `done` and `problems`."""
    values = [entry[field.key] for entry in entries]
    if not values or field.is_clean(values):
        return
    wrong, changed = [], []
    for index, (entry, value) in enumerate(zip(entries, values)):
        try:
            read = field.read(value)
        except Unreadable:
            wrong.append((_label(index, entry), value))
            continue
        if repr(read) != repr(value):
            changed.append(_label(index, entry))
        entry[field.key] = read
    _report(field.part, field.key, wrong, field.expected, problems)
    if changed:
        done[f'{field.key} of {field.part} read from another type'] = changed


def _deepest(masks: Sequence[list]) -> Sequence[list]:
    """Return the lists that are nested deeper than in any segmentation."""
    for _ in range(DEEPEST):
        masks = [
            item for item in chain.from_iterable(masks) if type(item) is list
        ]
    return masks


def _check_nesting(data: dict, problems: list[str]) -> None:
    """Add a problem if segmentations are nested too deeply."""
    polygons = [
        ann
        for ann in data['annotations']
        if isinstance(ann.get('segmentation'), list)
    ]
    if _deepest([ann['segmentation'] for ann in polygons]):
        labels = [
            str(ann['id'])
            for ann in polygons
            if _deepest([ann['segmentation']])
        ]
        problems.append(
            f'annotations {first_few(labels)}: segmentation is nested too '
            'deeply, expected are rings [[x, y, x, y, ...]]'
        )


def _report(
    part: str,
    key: str,
    wrong: Sequence[tuple[str, Any]],
    expected: str,
    problems: list[str],
) -> None:
    """Add a problem for each type of wrong values in a field."""
    by_type: dict[str, list[str]] = {}
    for label, value in wrong:
        by_type.setdefault(type(value).__name__, []).append(label)
    examples = {type(value).__name__: value for _, value in reversed(wrong)}
    for name, labels in by_type.items():
        problems.append(
            f'{part} {first_few(labels)}: {key} is '
            f'{describe_type(examples[name])}'
            f', expected {expected}'
        )


def _check_ids(
    data: dict,
    group: Sequence[tuple[str, str]],
    done: UnusableIds,
    problems: list[str],
) -> None:
    """Convert ids, and the fields that refer to them, to one type.

    Ids are integers, unless all of them are text and none is an integer.
    """
    columns = [[entry[key] for entry in data[part]] for part, key in group]
    types = {*map(type, chain.from_iterable(columns))}
    if types <= {int} and all(
        -MAX_ID < value < MAX_ID for value in chain.from_iterable(columns)
    ):
        return
    if types == {str} and not any(
        map(INTEGER.fullmatch, chain.from_iterable(columns))
    ):
        if all(map(str.strip, chain.from_iterable(columns))):
            return
    for part, key in group:
        wrong, changed = [], []
        for index, entry in enumerate(data[part]):
            label = _label(index, entry)
            try:
                read = _read_integer(entry[key])
            except Unreadable:
                wrong.append((label, entry[key]))
                continue
            if type(read) is not type(entry[key]):
                changed.append(label)
            entry[key] = read
        _report(part, key, wrong, 'a whole number', problems)
        if changed:
            done[f'{key} of {part} read from another type'] = changed
