"""What loading did, and the error when it cannot be done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from swin_dense.checkpoints.errors import CheckpointError

Shape = tuple[int, ...]


@dataclass
class LoadReport:
    """The five lists of a loaded checkpoint.

    Attributes:
        source_format: The format that was recognised.
        label: The file or address.
        loaded: Parameters taken as they are.
        resized: Parameters taken after resizing.
        dropped: The file's names left out by rule.
        missing: Parameters that the file does not have; forgiven, since an
            error is raised otherwise. They keep their values.
        unexpected: The file's names that the model has no place for;
            forgiven, too.
        notes: One line for each thing worth knowing, resizing above all.
    """

    source_format: str
    label: str = ''
    loaded: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """One line for the log."""
        taken = len(self.loaded) + len(self.resized)
        counts = [f'{taken} of {taken + len(self.missing)} tensors loaded']
        if self.resized:
            counts.append(f'{len(self.resized)} of them resized')
        if self.missing:
            counts.append(
                f'{len(self.missing)} keep their initial values '
                f'({first_few(self.missing)})'
            )
        if self.unexpected:
            counts.append(
                f'{len(self.unexpected)} of the file without use '
                f'({first_few(self.unexpected)})'
            )
        if self.dropped:
            counts.append(
                f'{len(self.dropped)} dropped by rule '
                f'({first_few(self.dropped)})'
            )
        line = f'{self.label} ({self.source_format}): {", ".join(counts)}'
        return '; '.join([line, *self.notes])


def mismatch_error(
    label: str,
    own: int,
    missing: Sequence[str],
    unexpected: Sequence[str],
    shapes: Mapping[str, tuple[Shape, Shape]],
    hints: Sequence[str],
) -> CheckpointError:
    """The error for a checkpoint of another model.

    Args:
        label: The file or address, with its format.
        own: Tensors of the model.
        missing: Names that only the model has.
        unexpected: Names that only the file has.
        shapes: Shape in the file and in the model of what differs.
        hints: Sentences on what it may be and what to do.
    """
    parts = []
    if missing:
        parts.append(
            f'{len(missing)} of {own} tensors of the model are not '
            f'in the file ({first_few(missing)})'
        )
    if unexpected:
        parts.append(
            f'{len(unexpected)} of the file are not in the model '
            f'({first_few(unexpected)})'
        )
    if shapes:
        each = [
            f'{name}: {theirs} in the file, {mine} in the model'
            for name, (theirs, mine) in shapes.items()
        ]
        parts.append(
            f'{len(shapes)} have another shape ({first_few(each, "; ")})'
        )
    text = f'{label} is not for this model: ' + '; '.join(parts) + '.'
    return CheckpointError(' '.join([text, *hints]))


def first_few(names: Sequence[str], separator: str = ', ') -> str:
    """The first three, and a sign if there are more."""
    more = separator.strip() + ' ...' if len(names) > 3 else ''
    return separator.join(names[:3]) + more
