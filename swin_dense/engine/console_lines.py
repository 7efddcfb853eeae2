"""Write what a run logs as short lines and tables for the console."""

import re
from collections.abc import Mapping
from typing import Any

# Losses that are named in a line; the largest.
_PARTS = 6
# Losses of the stages of a cascade, or of the layers of a decoder, are added.
_STAGE = re.compile(r'^[sd]\d+\.')
# Share of the time of a step from which waiting for data is worth a word.
_WAITING = 0.1
# Beginnings of names that become the columns of a table.
_COLUMNS = ('bbox', 'segm', 'proposal')
_NO_METRICS = ('time', 'data_time')


def training_line(
    place: str, values: Mapping[str, Any], seconds_left: float | None
) -> str:
    """Return a line about the steps since the last line.

    Args:
        place: Where the training is, such as 'iteration 20/1300'.
        values: Values by name as mmengine's `LogProcessor` collects them:
            `loss` and its parts, `base_lr` or `lr`, `time` and `data_time` in
            seconds, `memory` in MB.
        seconds_left: Estimated seconds to the end; None if it is unknown.
    """
    entries = [place]
    if 'loss' in values:
        entries.append(f'loss {values["loss"]:.4g}{_parts(values)}')
    rate = values.get('base_lr', values.get('lr'))
    if rate is not None:
        entries.append(f'lr {rate:.2g}')
    entries.append(_speed(values))
    if seconds_left is not None:
        entries.append(f'{duration(seconds_left)} left')
    if 'memory' in values:
        entries.append(f'{values["memory"]} MB')
    return '  '.join(filter(None, entries))


def _parts(values: Mapping[str, Any]) -> str:
    """Return the largest parts of a loss in brackets, '' without parts."""
    parts: dict[str, float] = {}
    for name, value in values.items():
        if 'loss' in name and name != 'loss' and isinstance(value, float):
            name = _STAGE.sub('', name).replace('loss_', '')
            parts[name] = parts.get(name, 0.0) + value
    if len(parts) < 2:
        return ''
    order = sorted(parts, key=lambda name: -parts[name])
    shown = [f'{name} {parts[name]:.3g}' for name in order[:_PARTS]]
    if len(parts) > _PARTS:
        shown.append(f'{len(parts) - _PARTS} more')
    return f' ({", ".join(shown)})'


def _speed(values: Mapping[str, Any]) -> str:
    """Return the seconds of a step, and how many it waits for data."""
    if 'time' not in values:
        return ''
    seconds, waiting = values['time'], values.get('data_time', 0.0)
    text = f'{seconds:.3g} s'
    if waiting >= _WAITING * seconds:
        text += f' ({waiting:.2g} s for data)'
    return text


def duration(seconds: float) -> str:
    """Return a time such as '45 s', '9 min', '2 h 5 min' or '1 d 3 h'."""
    if seconds < 100:
        return f'{seconds:.0f} s'
    minutes = round(seconds / 60)
    if minutes < 60:
        return f'{minutes} min'
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f'{hours} h {minutes} min'
    days, hours = divmod(hours, 24)
    return f'{days} d {hours} h'


def metrics_table(values: Mapping[str, Any]) -> str:
    """Return a table of the values of an evaluation.

    The values of boxes and masks are in columns beside each other.

    Args:
        values: Values by name, such as `coco/bbox_mAP` or `mIoU`.
    """
    numbers = {
        name.rpartition('/')[2]: float(value)
        for name, value in values.items()
        if isinstance(value, (int, float)) and name not in _NO_METRICS
    }
    columns = [
        column
        for column in _COLUMNS
        if any(name.startswith(f'{column}_') for name in numbers)
    ]
    rows: dict[str, dict[str, float]] = {}
    for name, value in numbers.items():
        column, _, rest = name.partition('_')
        if column in columns:
            rows.setdefault(rest, {})[column] = value
        else:
            rows.setdefault(name, {})[''] = value
    if any('' in row for row in rows.values()):
        columns = ['', *columns]
    width = max(map(len, rows), default=0)
    lines = []
    if any(columns):
        head = ''.join(f'{column:>8}' for column in columns)
        lines.append(f'  {"":{width}}{head}')
    for name, row in rows.items():
        cells = ''.join(
            f'{_number(row[column]):>8}' if column in row else ' ' * 8
            for column in columns
        )
        lines.append(f'  {name:{width}}{cells}'.rstrip())
    return '\n'.join(lines)


def _number(value: float) -> str:
    """Return a share with three decimals, a percentage with two."""
    return f'{value:.2f}' if abs(value) > 1 else f'{value:.3f}'
