"""Write what a training has logged as a table and as curves.

`results.csv` and `curves.png` in the work folder cover all runs of a
training: a run that was resumed continues the curves of the one before.
"""

import csv
import io
import json
from pathlib import Path
from typing import Any

import cv2

from swin_dense.files import replacing
from swin_dense.visualization.curves import Curve, draw_curves

TABLE = 'results.csv'
PICTURE = 'curves.png'
# Logged values that are no results.
_OTHERS = ('step', 'iter', 'epoch', 'time', 'data_time', 'memory', 'base_lr')
# Metrics of small, medium and large objects are in the table alone.
_DETAILS = ('_s', '_m', '_l')

Row = dict[str, Any]


def read_scalars(work_dir: str | Path) -> list[Row]:
    """Read the values that the runs in a work folder have logged.

    A run that does not continue an earlier one starts at the first step, so
    it replaces the values of that run.

    Returns:
        A row for each line of the logs, in the order of the key `step`. Rows
        of the training have the key `lr`, rows of the validation have not.
    """
    rows: list[Row] = []
    # Folders are named by date and time.
    for file in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        run = []
        for line in file.read_text('utf-8').splitlines():
            try:
                row = json.loads(line)
            except ValueError:  # the run was killed while it wrote the line
                continue
            if isinstance(row, dict) and isinstance(row.get('step'), int):
                run.append(row)
        first = min((row['step'] for row in run), default=0)
        if run:
            rows = [row for row in rows if row['step'] < first]
        rows += run
    return sorted(rows, key=lambda row: row['step'])


def write_results(work_dir: str | Path) -> list[Path]:
    """Write `results.csv` and `curves.png` of a work folder.

    Returns:
        The files; none if nothing has been logged.
    """
    rows = read_scalars(work_dir)
    if not rows:
        return []
    table, picture = Path(work_dir, TABLE), Path(work_dir, PICTURE)
    with replacing(table) as partial:
        partial.write_text(_table(rows), 'utf-8')
    pixels = draw_curves(_panels(rows), Path(work_dir).resolve().name)
    with replacing(picture) as partial:
        partial.write_bytes(cv2.imencode('.png', pixels)[1].tobytes())
    return [table, picture]


def _table(rows: list[Row]) -> str:
    """Return rows as CSV with a line for each step.

    Values that were not logged at a step are empty. The times of a
    validation have columns of their own.
    """
    steps: dict[int, Row] = {}
    for row in rows:
        values = dict(row)
        if 'lr' not in row:
            for name in ('time', 'data_time'):
                if name in values:
                    values[f'val_{name}'] = values.pop(name)
        steps.setdefault(row['step'], {}).update(values)
    names = dict.fromkeys(name for row in steps.values() for name in row)
    names.pop('iter', None)  # equal to step
    names = {'step': None} | names
    text = io.StringIO()
    writer = csv.DictWriter(
        text, [*names], extrasaction='ignore', lineterminator='\n'
    )
    writer.writeheader()
    writer.writerows(steps.values())
    return text.getvalue()


def _panels(rows: list[Row]) -> dict[str, dict[str, Curve]]:
    """Sort the values into panels: losses, metrics, learning rate."""
    panels: dict[str, dict[str, tuple[list[float], list[float]]]] = {
        'loss': {},
        'validation': {},
        'learning rate': {},
        'accuracy in training': {},
    }
    for row in rows:
        for name, value in row.items():
            panel = _panel(name, 'lr' in row)
            # NaN differs from itself.
            if panel and isinstance(value, (int, float)) and value == value:
                steps, values = panels[panel].setdefault(name, ([], []))
                steps.append(row['step'])
                values.append(value)
    return {name: dict(curves) for name, curves in panels.items() if curves}


def _panel(name: str, in_training: bool) -> str | None:
    """Return the title of the panel of a value, None if it has none."""
    if name in _OTHERS:
        return None
    if not in_training:
        return None if name.endswith(_DETAILS) else 'validation'
    if name == 'lr':
        return 'learning rate'
    if 'loss' in name:
        return 'loss'
    return 'accuracy in training' if 'acc' in name else None
