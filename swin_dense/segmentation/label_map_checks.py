"""Checks of label maps against the classes that they are to be trained for."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import (
    Any,
)

from swin_dense.data.label_map_scan import LabelMap, palette_problems
from swin_dense.data.messages import first_few

IGNORED_SHARE = 0.99
# How the files show what mmseg calls ignored, whatever `ignore_index` is.
WHITE = 255
BACKGROUND_NAMES = (
    'background',
    'bg',
    'unlabeled',
    'unlabelled',
    'void',
    'other',
    'others',
    'none',
)


@dataclass
class LabelReport:
    """What a set of label maps holds, and what is wrong with it.

    Attributes:
        files: Number of label maps.
        pixels: Number of pixels by value, as the files hold them.
        labels: Label of each value after `reduce_zero_label` and the choice
            of classes; None where it is ignored.
        problems: Sentences: with these, a training would fail or be wrong.
        notes: Sentences on what may be meant so.
    """

    files: int
    pixels: dict[int, int] = field(default_factory=dict)
    labels: dict[int, int | None] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def table(self, classes: Sequence[str] = ()) -> str:
        """Histogram by value, with labels and names."""
        total = sum(self.pixels.values())
        lines = ['  value  label    share  name']
        for value, count in sorted(self.pixels.items()):
            label = self.labels[value]
            if label is None:
                shown, name = '-', '(ignored)'
            else:
                shown = str(label)
                known = 0 <= label < len(classes)
                name = classes[label] if known else ''
            lines.append(
                f'  {value:>5}  {shown:>5}  {count / total:>7.2%}'
                f'  {name}'.rstrip()
            )
        return '\n'.join(lines)

    def to_dict(self) -> dict[str, Any]:
        """For a JSON file."""
        return asdict(self)


def check_label_maps(
    maps: Sequence[LabelMap],
    classes: Sequence[str],
    *,
    ignore_index: int = 255,
    reduce_zero_label: bool = False,
    label_map: Mapping[int, int] | None = None,
    training: bool = True,
) -> LabelReport:
    """Find out whether label maps can be trained on.

    Args:
        maps: What the files hold.
        classes: Names in label order.
        ignore_index: Label that counts for nothing.
        reduce_zero_label: Whether value n is label n - 1, and 0 and 255 are
            ignored.
        label_map: Further change of labels, as mmseg makes it where only
            some classes of a data set are asked for.
        training: Whether they are to be learnt from, which needs pixels of
            two classes.

    Returns:
        A report; `problems` is empty if they can.
    """
    report = LabelReport(len(maps))
    problems = report.problems
    readable = [one for one in maps if one.problem is None]
    problems += [one.problem for one in maps if one.problem is not None]
    _check_pixel_formats(readable, report)
    _check_sizes(readable, problems)
    usable = [one for one in readable if one.has_one_channel]
    pixels: Counter = Counter()
    for one in usable:
        pixels.update(one.counts)
    report.pixels = {int(value): pixels[value] for value in sorted(pixels)}
    ignored = {ignore_index, WHITE} if reduce_zero_label else {ignore_index}

    def label_of(value: int) -> int | None:
        label = value
        if reduce_zero_label:
            label = WHITE if value in (0, WHITE) else value - 1
        label = label if label_map is None else label_map.get(label, label)
        return None if label in ignored else label

    report.labels = {value: label_of(value) for value in report.pixels}
    hint = 'Correct the files, or the list of classes'
    if label_map is None:
        hint = _check_zero(report, classes, reduce_zero_label) or hint
    _check_range(usable, report, len(classes), ignore_index, hint)
    _check_ignored(usable, report)
    if not problems:
        _check_presence(report, classes, training)
    return report


def _check_pixel_formats(
    maps: Sequence[LabelMap], report: LabelReport
) -> None:
    """Colours are no labels; indices of a palette are."""
    for one in maps:
        if not one.has_one_channel:
            advice = (
                'its channels are equal: save any one of them'
                if one.counts
                else 'write the index of its class for each colour'
            )
            report.problems.append(
                f'{one.path} is {one.mode}; a label map has one channel, '
                f'whose values are classes. {advice.capitalize()}'
            )
    paletted = [one.path for one in maps if one.is_paletted]
    if paletted:
        report.notes.append(
            f'{len(paletted)} label maps are paletted, '
            f'{first_few(paletted, 3)}: '
            'the indices of the palette are the labels, its colours are not '
            'looked at'
        )
    report.problems += palette_problems(maps)


def _check_sizes(maps: Sequence[LabelMap], problems: list[str]) -> None:
    """A label map and its image cover the same pixels."""
    for one in maps:
        if one.image_size and tuple(one.size) != tuple(one.image_size):
            swapped = tuple(one.size) == tuple(one.image_size)[::-1]
            hint = (
                '. Width and height are swapped: has the image an EXIF '
                'orientation?'
                if swapped
                else ''
            )
            problems.append(
                '{} is {}x{} pixels (width x height), its image '
                '{} is {}x{}{}'.format(
                    one.path, *one.size, one.image, *one.image_size, hint
                )
            )


def _check_zero(
    report: LabelReport, classes: Sequence[str], reduce_zero_label: bool
) -> str:
    """Whether value 0 is what `reduce_zero_label` says.

    Returns:
        What to do about values out of range, if 0 tells.
    """
    values = {value for value in report.pixels if value != WHITE}
    count = len(classes)
    if reduce_zero_label and 0 in values:
        named = str(classes[0]).strip().casefold() in BACKGROUND_NAMES
        if named or values == {*range(count)}:
            reason = (
                f'the first class is called {classes[0]!r}'
                if named
                else f'the values are 0 to {count - 1}, as '
                f'many as there are classes, and {count} never occurs'
            )
            share = report.pixels[0] / sum(report.pixels.values())
            report.problems.append(
                f'reduce_zero_label=True ignores value 0, {share:.1%} of all '
                'pixels, and makes label 0 of value 1; yet 0 seems to be a '
                f'class: {reason}. Set reduce_zero_label=False'
            )
    if not reduce_zero_label and values == {*range(count + 1)}:
        return (
            f'The values are 0 to {count}, one more than there are '
            'classes: name what 0 is as the first class, or set '
            'reduce_zero_label=True to ignore it'
        )
    return ''


def _check_range(
    maps: Sequence[LabelMap],
    report: LabelReport,
    num_classes: int,
    ignore_index: int,
    hint: str,
) -> None:
    """Every value is a class or ignored."""
    strange = [
        value
        for value, label in report.labels.items()
        if label is not None and not 0 <= label < num_classes
    ]
    for value in strange[:5]:
        files = [one for one in maps if value in one.counts]
        first = files[0]
        others = f' and {len(files) - 1} more files' if files[1:] else ''
        label = report.labels[value]
        became = '' if label == value else f', which becomes label {label},'
        palette = ' (an index of its palette)' if first.is_paletted else ''
        report.problems.append(
            f'value {value}{palette}{became} in {first.path} '
            f'({first.counts[value]} pixels){others}, num_classes='
            f'{num_classes} (valid labels 0..{num_classes - 1}, ignored '
            f'{ignore_index})'
        )
    if strange:
        more = (
            f'. {len(strange)} values are out of range' if strange[5:] else ''
        )
        report.problems[-1] += f'{more}. {hint}'


def _check_ignored(maps: Sequence[LabelMap], report: LabelReport) -> None:
    """Something is left to learn."""
    share = _ignored_share(report.labels.get)
    empty = [one.path for one in maps if share(one.counts) > IGNORED_SHARE]
    if not report.pixels:
        return
    whole = share(report.pixels)
    if {*report.pixels} == {0, WHITE} and report.labels[WHITE] is None:
        report.problems.append(
            'the only values are 0 and 255, and 255 is ignored: the label '
            'maps look like black and white masks. Write 1 in place of 255'
        )
    elif whole > IGNORED_SHARE:
        report.problems.append(
            f'{whole:.2%} of all pixels are ignored, nearly nothing is left '
            'to learn. Do the values and ignore_index fit?'
        )
    elif empty:
        report.notes.append(
            f'{len(empty)} of {len(maps)} label maps are ignored on more '
            f'than {IGNORED_SHARE:.0%} of their pixels: {first_few(empty, 3)}'
        )


def _check_presence(
    report: LabelReport, classes: Sequence[str], training: bool
) -> None:
    """There are pixels of several classes."""
    present = {*report.labels.values()} - {None}
    absent = [
        str(name) for label, name in enumerate(classes) if label not in present
    ]
    if len(present) == 1 and absent:
        label = min(present)
        name = f' ({classes[label]})' if 0 <= label < len(classes) else ''
        (report.problems if training else report.notes).append(
            f'all pixels that count have label {label}{name}: there is '
            'nothing to tell apart. Are these the right label maps?'
        )
    elif present and absent:
        report.notes.append(
            f'{len(absent)} of {len(classes)} classes have no '
            f'pixel: {first_few(absent)}'
        )


def _ignored_share(
    label_of: Callable[[int], int | None],
) -> Callable[[Mapping[int, int]], float]:
    """A function that tells the ignored share of a histogram."""

    def share(counts: Mapping[int, int]) -> float:
        ignored = sum(
            n for value, n in counts.items() if label_of(value) is None
        )
        return ignored / max(1, sum(counts.values()))

    return share
