"""Compare the classes of data sets, checkpoint and heads by name."""

from collections.abc import Sequence
from typing import Any

from swin_dense.checkpoints.class_names import check_names, stored_classes
from swin_dense.checkpoints.files.read import TRAINING_STATE, read_checkpoint
from swin_dense.data.wrappers import class_names_of
from swin_dense.preflight.results import CheckFailedError, Finding
from swin_dense.wording import first_few

SPLITS = ('train', 'val')


def check(context: Any) -> Finding:
    """Draw the table of classes, and check that a label means one class.

    Raises:
        CheckFailedError: If names or orders differ, or all objects of the
            training set are of one class of several.
    """
    names: dict[str, list[str]] = {}
    counts: dict[str, Sequence[int]] = {}
    for split in SPLITS:
        if context.settings(split):
            dataset = context.dataset(split)
            names[split] = [
                str(name) for name in class_names_of(dataset) or ()
            ]
            counts[split] = context.specialist.count_classes(dataset)
    source = context.config.get('load_from')
    if source:
        stored = stored_classes(
            read_checkpoint(source, mmap=True, without=TRAINING_STATE)
        )
        names['checkpoint'] = stored or []
    lines = table(names, counts)
    values = dict(classes=names, counts=counts)
    problem = find_problem(names, counts)
    if problem:
        raise CheckFailedError(problem, lines, **values)
    summary = f'{len(names["train"])} classes, one order'
    others = [name for name in names if name != 'train' and names[name]]
    if others:
        summary += f' in train, {" and ".join(others)}'
    if 'checkpoint' in names and not names['checkpoint']:
        summary += '; the checkpoint names none'
    absent = [
        name
        for name, count in zip(names['train'], counts['train'])
        if not count
    ]
    if absent:
        summary += f'; without objects in train: {first_few(absent)}'
    return Finding(summary, lines, values)


def find_problem(
    names: dict[str, list[str]], counts: dict[str, Sequence[int]]
) -> str:
    """Return what is wrong with the classes, or ''.

    Args:
        names: Class names in label order, by source. The checkpoint may have
            other names, since heads may start anew, but none at another
            place.
        counts: Objects of each class, by split.
    """
    train = names['train']
    if not train:
        return 'the training set names no classes: set metainfo=dict(classes='
    val = names.get('val', train)
    if val != train:
        moved = [
            f'label {i} is {a!r} in train and {b!r} in val'
            for i, (a, b) in enumerate(zip(train, val))
            if a != b
        ]
        return (
            f'train has {len(train)} classes, val {len(val)}: '
            f'{first_few(moved) or "the longer one begins as the other"}. Set '
            'metainfo=dict(classes=[...]) in both to one list'
        )
    if names.get('checkpoint'):
        try:
            check_names(names['checkpoint'], train, 'train', strict=False)
        except ValueError as error:
            return str(error)
    present = [name for name, n in zip(train, counts['train']) if n]
    if len(present) == 1 < len(train):
        return (
            f'all {sum(counts["train"])} objects of the training set are of '
            f'class {present[0]!r}, of {len(train)} classes: correct the '
            'labels, or name that class alone'
        )
    return ''


def table(
    names: dict[str, list[str]], counts: dict[str, Sequence[int]]
) -> list[str]:
    """Return lines with the name of each label in each source."""
    rows = [['label', *names]]
    for label in range(max(map(len, names.values()), default=0)):
        row = [str(label)]
        for source, known in names.items():
            cell = known[label] if label < len(known) else '-'
            if source in counts and label < len(counts[source]):
                cell += f' ({counts[source][label]})'
            row.append(cell)
        rows.append(row)
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        '  '.join(
            cell.ljust(width) for cell, width in zip(row, widths)
        ).rstrip()
        for row in rows
    ]
