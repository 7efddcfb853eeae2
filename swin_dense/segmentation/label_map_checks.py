"""Check label maps against the classes of a config."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from swin_dense.data.label_map_scan import LabelMap, palette_problems
from swin_dense.wording import first_few

IGNORED_SHARE = 0.99  # more ignored pixels than this leave nothing to learn
# With `reduce_zero_label`, mmseg ignores value 255 for any `ignore_index`.
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
    """The values in a set of label maps, and problems with them.

    Attributes:
        files: Number of label maps.
        pixels: Number of pixels by value in the files.
        labels: Label of each value after `reduce_zero_label` and the choice
            of classes; None if the value is ignored.
        problems: Sentences on errors, with which training would fail or
            learn the wrong classes.
        notes: Sentences on unusual things that may be intended.
    """

    files: int
    pixels: dict[int, int] = field(default_factory=dict)
    labels: dict[int, int | None] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def table(self, classes: Sequence[str] = ()) -> str:
        """Return a histogram of the values, with labels and class names."""
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
        """Return the report as a dict for a JSON file."""
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
    """Check whether label maps can be used for training.

    Args:
        maps: Label maps; see `swin_dense.data.label_map_scan`.
        classes: Class names in label order.
        ignore_index: Label of pixels that are ignored in the loss.
        reduce_zero_label: If True, value n is label n - 1, and values 0 and
            255 are ignored.
        label_map: New label by label, as mmseg has it if the config chooses
            some classes of a data set.
        training: If True, the maps must have pixels of two classes.

    Returns:
        A report. If its `problems` are empty, the maps can be used.
    """
    report = LabelReport(len(maps))
    problems = report.problems
    readable = [entry for entry in maps if entry.problem is None]
    problems += [entry.problem for entry in maps if entry.problem is not None]
    _check_pixel_formats(readable, report)
    _check_sizes(readable, problems)
    usable = [entry for entry in readable if entry.has_one_channel]
    pixels: Counter = Counter()
    for entry in usable:
        pixels.update(entry.counts)
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
    """Report maps with several channels, and note paletted maps."""
    for entry in maps:
        if not entry.has_one_channel:
            advice = (
                'its channels are equal: save one of them'
                if entry.counts
                else 'replace each colour by the index of its class'
            )
            report.problems.append(
                f'{entry.path} is {entry.mode}; a label map has one channel, '
                f'whose values are classes. {advice.capitalize()}'
            )
    paletted = [entry.path for entry in maps if entry.is_paletted]
    if paletted:
        report.notes.append(
            f'{len(paletted)} label maps are paletted, '
            f'{first_few(paletted, 3)}: '
            'the indices of the palette are the labels, its colours are '
            'ignored'
        )
    report.problems += palette_problems(maps)


def _check_sizes(maps: Sequence[LabelMap], problems: list[str]) -> None:
    """Report label maps whose size differs from that of their image."""
    for entry in maps:
        if entry.image_size and tuple(entry.size) != tuple(entry.image_size):
            swapped = tuple(entry.size) == tuple(entry.image_size)[::-1]
            hint = (
                '. Width and height are swapped: does the image have an EXIF '
                'orientation?'
                if swapped
                else ''
            )
            problems.append(
                '{} is {}x{} pixels (width x height), its image '
                '{} is {}x{}{}'.format(
                    entry.path,
                    *entry.size,
                    entry.image,
                    *entry.image_size,
                    hint,
                )
            )


def _check_zero(
    report: LabelReport, classes: Sequence[str], reduce_zero_label: bool
) -> str:
    """Report value 0 if it contradicts `reduce_zero_label`.

    Returns:
        A hint on values out of range, if value 0 explains them; '' otherwise.
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
    """Report values that are neither a class nor ignored."""
    strange = [
        value
        for value, label in report.labels.items()
        if label is not None and not 0 <= label < num_classes
    ]
    for value in strange[:5]:
        files = [entry for entry in maps if value in entry.counts]
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
    """Report or note label maps with hardly any pixel that is not ignored."""
    share = _ignored_share(report.labels.get)
    empty = [
        entry.path for entry in maps if share(entry.counts) > IGNORED_SHARE
    ]
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
    """Report or note classes without pixels."""
    present = {label for label in report.labels.values() if label is not None}
    absent = [
        str(name) for label, name in enumerate(classes) if label not in present
    ]
    if len(present) == 1 and absent:
        label = min(present)
        name = f' ({classes[label]})' if 0 <= label < len(classes) else ''
        (report.problems if training else report.notes).append(
            f'all pixels that are not ignored have label {label}{name}: '
            'training needs at least two classes. Are these the right label '
            'maps?'
        )
    elif present and absent:
        report.notes.append(
            f'{len(absent)} of {len(classes)} classes have no '
            f'pixel: {first_few(absent)}'
        )


def _ignored_share(
    label_of: Callable[[int], int | None],
) -> Callable[[Mapping[int, int]], float]:
    """Return a function that computes the ignored share of a histogram."""

    def share(counts: Mapping[int, int]) -> float:
        """Return the share of pixels whose value is ignored."""
        ignored = sum(
            n for value, n in counts.items() if label_of(value) is None
        )
        return ignored / max(1, sum(counts.values()))

    return share
