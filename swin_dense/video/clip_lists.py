"""Read clips and their classes from lists, CSV files and folders.

Four formats are read:

- a list with `path label` on each line, labels counted from 0 (Kinetics);
- a CSV file of paths and class names, with or without a header;
- the original CSV file of Kinetics (`label,youtube_id,time_start,time_end,
  split`);
- a folder for each class.

A clip is a video file, or a folder of frames.
"""

import csv
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from swin_dense.data.decoders.folder import PICTURES
from swin_dense.data.image_checks import missing_files
from swin_dense.data.video_reader import VIDEOS
from swin_dense.wording import did_you_mean, first_few

PATH_COLUMNS = ('path', 'video', 'video_path', 'filename', 'file', 'clip')
LABEL_COLUMNS = ('label', 'class', 'class_name', 'category', 'action')
KINETICS_COLUMNS = ('youtube_id', 'time_start', 'time_end')


@dataclass(frozen=True)
class Clip:
    """An entry of a list of clips.

    Attributes:
        path: Path of the file or folder.
        label: Number or name of its class; None if it has none.
        place: Place in the list, such as 'line 12'.
        name: Path as written in the list.
    """

    path: str
    label: int | str | None
    place: str
    name: str


def read_clips(
    ann_file: str, folder: str, delimiter: str | None = None
) -> list[Clip]:
    """Read the clips of a list, a CSV file, or folders of classes.

    Args:
        ann_file: A list, or a CSV file if it ends in `.csv`; '' for a folder
            per class.
        folder: Folder that paths are relative to, or the folder with the
            folders of the classes.
        delimiter: Separator of path and label; by default white space in a
            list and a comma in a CSV file.

    Returns:
        The clips in the order of the list.

    Raises:
        ValueError: If the list is not text, has unknown columns, or a class
            folder contains images.
    """
    if not ann_file:
        return list(_read_folders(folder))
    try:
        with open(ann_file, encoding='utf-8-sig', newline='') as file:
            if ann_file.endswith('.csv'):
                rows = list(csv.reader(file, delimiter=delimiter or ','))
                clips = list(_read_csv(ann_file, rows, folder))
            else:
                clips = list(_read_list(file, folder, delimiter))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f'{ann_file} is not a list of clips: {error}. A list '
            "is a text file with 'path label' on each "
            'line'
        ) from None
    return _without_lengths(clips, folder)


def _read_list(
    lines: Iterable[str], folder: str, delimiter: str | None
) -> Iterator[Clip]:
    """Yield the clips of a list; the last separator precedes the label."""
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if line:
            name, *label = line.rsplit(delimiter, 1)
            name = name.strip().rstrip('/')
            yield Clip(
                os.path.join(folder, name),
                _number_or_name(label),
                f'line {number}',
                name,
            )


def _number_or_name(text: Sequence[str]) -> int | str | None:
    """Return the label of a line as a number or a name; None without."""
    if not text or not text[0].strip():
        return None
    try:
        return int(text[0])
    except ValueError:
        return text[0].strip()


def _read_csv(
    ann_file: str, rows: Sequence[list[str]], folder: str
) -> Iterator[Clip]:
    """Yield the clips of a CSV file, with or without a header."""
    if not rows:
        return
    names = [cell.strip().casefold() for cell in rows[0]]
    paths = [names.index(key) for key in PATH_COLUMNS if key in names]
    labels = [names.index(key) for key in LABEL_COLUMNS if key in names]
    parts = [names.index(key) for key in KINETICS_COLUMNS if key in names]
    files: dict[str, str] = {}
    first = 2
    if len(parts) == len(KINETICS_COLUMNS) and not paths:
        files = _by_stem(folder)
    elif not (paths and labels):
        if len(names) != 2:
            raise ValueError(
                f'{ann_file} has the columns {names}: expected are path and '
                f'label in the first line ({first_few(PATH_COLUMNS, 9)}; '
                f"{first_few(LABEL_COLUMNS, 9)}), Kinetics' own columns, or "
                'two columns without a header'
            )
        paths, labels, first = [0], [1], 1
    for number, row in enumerate(rows[first - 1 :], first):
        if not any(row):
            continue
        cells = row + [''] * (len(names) - len(row))
        if files or not paths:
            stem = '{}_{:06d}_{:06d}'.format(
                *_kinetics_cells(ann_file, number, [cells[i] for i in parts])
            )
            name = files.get(stem) or files.get(
                cells[parts[0]].strip(), f'{stem}.mp4'
            )
        else:
            name = cells[paths[0]].strip().rstrip('/')
        yield Clip(
            os.path.join(folder, name),
            _number_or_name([cells[i] for i in labels[:1]]),
            f'line {number}',
            name,
        )


def _kinetics_cells(
    ann_file: str, number: int, cells: Sequence[str]
) -> tuple[str, int, int]:
    """Return the video's id, and start and end in seconds, of a row."""
    try:
        return cells[0].strip(), int(float(cells[1])), int(float(cells[2]))
    except ValueError:
        raise ValueError(
            f'{ann_file} line {number}: start {cells[1]!r} and '
            f'end {cells[2]!r} must be seconds'
        ) from None


def _by_stem(folder: str) -> dict[str, str]:
    """Return the paths of all videos below a folder, relative, by stem."""
    return {
        path.stem: str(path.relative_to(folder))
        for path in Path(folder).rglob('*')
        if path.suffix.lower() in VIDEOS
    }


def _read_folders(folder: str) -> Iterator[Clip]:
    """Yield the clips of all class folders."""
    for place in sorted(Path(folder).iterdir()):
        if not place.is_dir() or place.name.startswith('.'):
            continue
        for path in sorted(place.iterdir()):
            if path.suffix.lower() in PICTURES:
                raise ValueError(
                    f'{place} contains the image {path.name}: expected is a '
                    'class folder with a video file or a folder of frames '
                    'for each clip. Put the frames of each clip into a '
                    'separate folder'
                )
            if not path.name.startswith('.') and (
                path.is_dir() or path.suffix.lower() in VIDEOS
            ):
                yield Clip(
                    str(path),
                    place.name,
                    f'folder {place.name}',
                    str(path.relative_to(folder)),
                )


def _without_lengths(clips: Sequence[Clip], folder: str) -> list[Clip]:
    """Remove frame counts from the paths of clips.

    mmaction2 lists folders of frames as `path number label`, where the number
    is read as part of the path.
    """
    missing = {*missing_files(clip.path for clip in clips)}
    corrected = []
    for clip in clips:
        if clip.path in missing:
            name, *count = clip.name.rsplit(None, 1)
            path = os.path.join(folder, name)
            if count and count[0].isdecimal() and os.path.isdir(path):
                clip = Clip(path, clip.label, clip.place, name)
        corrected.append(clip)
    return corrected


def class_names(clips: Sequence[Clip]) -> list[str]:
    """Return the class names that occur, sorted."""
    return sorted(
        {clip.label for clip in clips if isinstance(clip.label, str)}
    )


def number_labels(
    clips: Sequence[Clip], classes: Sequence[str]
) -> tuple[list[int], list[str]]:
    """Return the label of each clip, and problems with labels.

    Args:
        clips: Clips of the list.
        classes: Class names in label order.

    Returns:
        Labels, -1 if missing or out of range; and sentences on each kind of
        problem with the first line that has it.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    labels = [
        numbers.get(clip.label, -1)
        if isinstance(clip.label, str)
        else clip.label
        if clip.label is not None and 0 <= clip.label < len(classes)
        else -1
        for clip in clips
    ]
    wrong = [clip for clip, label in zip(clips, labels) if label < 0]
    unknown: dict[str, list[Clip]] = defaultdict(list)
    outside, without = [], []
    for clip in wrong:
        if clip.label is None:
            without.append(clip)
        elif isinstance(clip.label, str):
            unknown[clip.label].append(clip)
        else:
            outside.append(clip)
    problems = []
    if without:
        problems.append(
            f'{_first(without)} has no label ({without[0].name!r}): a line '
            "is 'path label'; with commas, the file must end in .csv"
        )
    for name, group in [*unknown.items()][:5]:
        near = did_you_mean(name, classes)
        hint = f'; did you mean {near!r}?' if near else ''
        problems.append(
            f'{_first(group)}: {name!r} is not among the '
            f'{len(classes)} classes{hint}'
        )
    if outside:
        problems.append(
            f'{_first(outside)}: label {outside[0].label}, num_classes='
            f'{len(classes)} (valid labels 0..{len(classes) - 1}'
            f'){_base_hint(clips, len(classes))}'
        )
    return labels, problems


def _first(clips: Sequence[Clip]) -> str:
    """Return the place of the first clip, and the number of others."""
    more = f' and {len(clips) - 1} more' if clips[1:] else ''
    return f'{clips[0].place}{more}'


def _base_hint(clips: Sequence[Clip], num_classes: int) -> str:
    """Return a hint if labels seem to count from 1; '' otherwise."""
    labels = {clip.label for clip in clips if isinstance(clip.label, int)}
    if 0 in labels or max(labels) != num_classes:
        return ''
    return (
        '. The labels seem to count from 1: 0 never occurs. Subtract 1 '
        'from each, as swin-dense check-videos --first-label 1 --clean does'
    )


def duplicate_clips(clips: Sequence[Clip], labels: Sequence[int]) -> list[str]:
    """Describe clips that are listed more than once.

    Args:
        clips: Clips of the list.
        labels: Their labels.

    Returns:
        A sentence for each of the first duplicates.
    """
    counts = Counter(os.path.normpath(clip.path) for clip in clips)
    again: dict[str, list[tuple[Clip, int]]] = defaultdict(list)
    for clip, label in zip(clips, labels):
        path = os.path.normpath(clip.path)
        if counts[path] > 1:
            again[path].append((clip, label))
    problems = []
    for path, entries in [*again.items()][:5]:
        places = first_few(clip.place for clip, _ in entries)
        differ = len({label for _, label in entries}) > 1
        kind = 'with different labels' if differ else 'with one label'
        problems.append(f'{path} is listed more than once, {kind}: {places}')
    if len(again) > 5:
        problems.append(f'{len(again)} clips are listed more than once')
    return problems
