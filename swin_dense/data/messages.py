"""Words for errors of data, and checks that all tasks share."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from swin_dense.wording import did_you_mean, first_few


def duplicates(values: Iterable[Any]) -> list[Any]:
    """Values that occur more than once."""
    return [value for value, n in Counter(values).items() if n > 1]


def check_class_names(
    classes: Sequence[str], source: Any, known: Sequence[str] | None = None
) -> None:
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
        raise ValueError(
            f'classes must be a list of names; got {classes!r}: '
            f'write [{classes!r}]'
        )
    if not classes:
        choice = (
            ''
            if known is None
            else (f': {source} has the categories {first_few(known, 20)}')
        )
        raise ValueError(f'no classes{choice}')
    if duplicates(classes):
        raise ValueError(
            f'classes name {first_few(duplicates(classes))} more than '
            'once: a label has one name'
        )
    problems = []
    for name in classes:
        if known is not None and name not in known:
            near = did_you_mean(name, known)
            hint = f' (did you mean {near!r}?)' if near else ''
            problems.append(f'class {name!r} is not in {source}{hint}')
    if problems:
        raise ValueError(
            '; '.join(problems)
            + f'. Categories there: {first_few(map(repr, known), 100)}'
        )


def check_one_list(ann_file: Any) -> None:
    """Raise if several lists are given where a data set reads one."""
    if isinstance(ann_file, (list, tuple)):
        raise ValueError(
            f'ann_file is a list of {len(ann_file)}: a data set reads one '
            "file. Write type='ConcatDataset', datasets=[dict(ann_file=…), "
            'dict(ann_file=…)], whose labels are then compared'
        )


def missing_data_message(
    missing: str,
    root: str | None,
    expected: Sequence[str],
    quick_start: str,
    kind: str = 'images',
) -> str:
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
    return (
        f'no data set: {missing} does not exist (data_root {place} '
        f'{state}; working directory {Path.cwd()}).\n'
        f'Expected:\n{tree}\n'
        'Put or link the data set there, or set data_root. Without any '
        f'data, start with generated {kind}:\n'
        f'  python tools/train.py configs/{quick_start}.py'
    )
