"""Parts of error messages about data, and checks that all tasks share."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from swin_dense.wording import did_you_mean, first_few


def duplicates(values: Iterable[Any]) -> list[Any]:
    """Return the values that occur more than once."""
    return [value for value, n in Counter(values).items() if n > 1]


def check_class_names(
    classes: Sequence[str], source: Any, known: Sequence[str] | None = None
) -> None:
    """Check the class names of a config.

    Args:
        classes: Class names in label order.
        source: The data set or file that the classes are for, for messages.
        known: Names to choose from; None accepts any name.

    Raises:
        ValueError: If `classes` is a string, is empty or repeats a name, or
            if a name is not in `known`.
    """
    if isinstance(classes, str):
        raise ValueError(
            f'classes must be a list of names; got {classes!r}: '
            f'write [{classes!r}]'
        )
    if not classes:
        choice = (
            ''
            if known is None
            else f': {source} has the categories {first_few(known, 20)}'
        )
        raise ValueError(f'classes is empty{choice}')
    if duplicates(classes):
        raise ValueError(
            f'classes name {first_few(duplicates(classes))} more than '
            'once: a label has one name'
        )
    if known is None:
        return
    problems = []
    for name in classes:
        if name not in known:
            near = did_you_mean(name, known)
            hint = f' (did you mean {near!r}?)' if near else ''
            problems.append(f'class {name!r} is not in {source}{hint}')
    if problems:
        raise ValueError(
            '; '.join(problems)
            + f'. Categories there: {first_few(map(repr, known), 100)}'
        )


def check_one_list(ann_file: Any) -> None:
    """Check that `ann_file` is a single file.

    Raises:
        ValueError: If it is a list of files.
    """
    if isinstance(ann_file, (list, tuple)):
        raise ValueError(
            f'ann_file is a list of {len(ann_file)} files: a data set reads '
            "one. Write type='ConcatDataset', datasets=[dict(ann_file=...), "
            'dict(ann_file=...)], whose labels are then compared'
        )


def missing_data_message(
    missing: str,
    root: str | None,
    expected: Sequence[str],
    quick_start: str,
    kind: str = 'images',
) -> str:
    """Return the message for a data set that does not exist.

    Args:
        missing: The path that does not exist.
        root: The data set's `data_root`.
        expected: Paths of the expected folder tree.
        quick_start: Name of a config that generates its data.
        kind: What that config generates, in the plural.
    """
    place = Path(root or '.')
    state = 'exists' if place.is_dir() else 'does not exist'
    tree = '\n'.join(f'  {path}' for path in expected)
    return (
        f'no data set: {missing} does not exist (data_root {place} '
        f'{state}; working directory {Path.cwd()}).\n'
        f'Expected:\n{tree}\n'
        'Put or link the data set there, or set data_root. Without any '
        f'data, start with generated {kind}:\n'
        f'  swin-dense train {quick_start}'
    )
