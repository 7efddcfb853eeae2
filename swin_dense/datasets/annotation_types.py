"""Checks that a COCO file holds numbers, texts and lists where it should."""
from numbers import Real
from pathlib import Path
from typing import Any, Callable, Dict, List, Union

__all__ = ['check_types']

MOST_SHOWN = 5
# Of rings in a segmentation: a list of numbers, of rings, or of rings that
# are lists of points.
DEEPEST = 3
# No image is wider or higher; sizes beyond it overflow in the libraries.
LARGEST_SIDE = 2**20


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real)


def _is_side(value: Any) -> bool:
    return isinstance(value, Real) and 0 < value <= LARGEST_SIDE


def _is_number_or_none(value: Any) -> bool:
    return value is None or isinstance(value, Real)


def _is_box(value: Any) -> bool:
    # Lists of another length and NaN are named by checks of their own.
    return not isinstance(value, list) or all(map(_is_number_or_none, value))


def _is_segmentation(value: Any) -> bool:
    if isinstance(value, dict):
        return _is_rle(value)
    return value is None or isinstance(value, list) and _are_rings(
        value, DEEPEST)


def _is_rle(mask: Dict[str, Any]) -> bool:
    counts, size = mask.get('counts'), mask.get('size')
    if isinstance(counts, list):
        if not all(type(n) is int and 0 <= n < 2**32 for n in counts):
            return False
    elif counts is not None and not isinstance(counts, str):
        return False
    return size is None or isinstance(size, list) and all(
        map(_is_number, size))


def _are_rings(values: List[Any], depth: int) -> bool:
    """Return True for numbers in lists within lists of a few levels."""
    kinds = {*map(type, values)}
    if kinds <= {int, float}:
        return True
    return depth > 1 and kinds == {list} and all(
        _are_rings(value, depth - 1) for value in values)


_Test = Callable[[Any], bool]
_TYPES: Dict[str, Dict[str, tuple[_Test, str]]] = {
    'images': {
        'id': (_is_id, 'a whole number or a text'),
        'file_name': (_is_text, 'a text'),
        'height': (_is_side, f'a number of pixels, 1 to {LARGEST_SIDE}'),
        'width': (_is_side, f'a number of pixels, 1 to {LARGEST_SIDE}'),
    },
    'annotations': {
        'id': (_is_id, 'a whole number or a text'),
        'image_id': (_is_id, 'a whole number or a text'),
        'category_id': (_is_id, 'a whole number or a text'),
        'bbox': (_is_box, 'four numbers [x, y, w, h]'),
        'iscrowd': (_is_number, '0 or 1'),
        'area': (_is_number_or_none, 'a number'),
        'segmentation': (_is_segmentation, 'a list of rings [x, y, x, y, …] '
                         'or an RLE with counts and size'),
    },
    'categories': {
        'id': (_is_id, 'a whole number or a text'),
        'name': (_is_text, 'a text'),
    },
}


def check_types(data: Dict[str, List[dict]], path: Union[str, Path]) -> None:
    """Raise if a value of a COCO file is of a type that it cannot have.

    Args:
        data: The parsed file; each part is a list of dicts.
        path: For messages.

    Raises:
        ValueError: If there is one; the message names the first few.
    """
    for part, tests in _TYPES.items():
        for key, (is_right, expected) in tests.items():
            wrong = [
                entry for entry in data[part]
                if key in entry and not is_right(entry[key])
            ]
            if wrong:
                shown = ', '.join(f'{_short(entry[key])} (id '
                                  f'{_short(entry.get("id"))})'
                                  for entry in wrong[:MOST_SHOWN])
                more = f', … ({len(wrong)} in all)' if len(
                    wrong) > MOST_SHOWN else ''
                raise ValueError(f'{path}: {key!r} in {part} must be '
                                 f'{expected}; there are {shown}{more}')


def _short(value: Any) -> str:
    """Return the beginning of a value's text."""
    text = repr(value) if not isinstance(value, list) else (
        f'a list of {len(value)}')
    return text if len(text) <= 60 else f'{text[:60]}…'
