"""The report of a loaded checkpoint, and the error if it does not fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.wording import first_few

Shape = tuple[int, ...]
_SHOWN = 3  # names in a list


@dataclass
class LoadReport:
    """The five lists of a loaded checkpoint.

    Attributes:
        source_format: Layout and kind of model, such as 'timm classifier'.
        label: The file or address.
        loaded: Parameters copied as they are.
        resized: Parameters copied after resizing.
        dropped: Names in the checkpoint that a rule leaves out.
        missing: Parameters that the checkpoint does not have and that may be
            missing. They keep their values. (Others raise an error.)
        unexpected: Names in the checkpoint that the model does not have and
            that may be unexpected. (Others raise an error.)
        notes: A line for each event worth knowing, such as a resizing.
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
        """Return one line for the log."""
        num_loaded = len(self.loaded) + len(self.resized)
        total = num_loaded + len(self.missing)
        counts = [f'{num_loaded} of {total} tensors loaded']
        if self.resized:
            counts.append(f'{len(self.resized)} of them resized')
        if self.missing:
            counts.append(
                f'{len(self.missing)} keep their initial values '
                f'({first_few(self.missing, _SHOWN)})'
            )
        if self.unexpected:
            counts.append(
                f'{len(self.unexpected)} of the file not used '
                f'({first_few(self.unexpected, _SHOWN)})'
            )
        if self.dropped:
            counts.append(
                f'{len(self.dropped)} dropped by rule '
                f'({first_few(self.dropped, _SHOWN)})'
            )
        line = f'{self.label} ({self.source_format}): {", ".join(counts)}'
        return '; '.join([line, *self.notes])


def mismatch_error(
    label: str,
    num_tensors: int,
    missing: Sequence[str],
    unexpected: Sequence[str],
    shapes: Mapping[str, tuple[Shape, Shape]],
    hints: Sequence[str],
) -> CheckpointError:
    """Return the error for a checkpoint of another model.

    Args:
        label: The file or address, with its layout.
        num_tensors: Number of tensors of the model.
        missing: Names that only the model has.
        unexpected: Names that only the checkpoint has.
        shapes: Shape in the checkpoint and in the model of each tensor whose
            shapes differ.
        hints: Sentences on the likely cause and the remedy.
    """
    problems = []
    if missing:
        problems.append(
            f'{len(missing)} of {num_tensors} tensors of the model are not '
            f'in the file ({first_few(missing, _SHOWN)})'
        )
    if unexpected:
        problems.append(
            f'{len(unexpected)} of the file are not in the model '
            f'({first_few(unexpected, _SHOWN)})'
        )
    if shapes:
        lines = [
            f'{name}: {in_file} in the file, {in_model} in the model'
            for name, (in_file, in_model) in shapes.items()
        ]
        problems.append(
            f'{len(shapes)} have another shape '
            f'({first_few(lines, _SHOWN, "; ")})'
        )
    text = f'{label} is not for this model: {"; ".join(problems)}.'
    return CheckpointError(' '.join([text, *hints]))
