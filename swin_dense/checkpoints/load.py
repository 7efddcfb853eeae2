"""Strict loading of backbones and whole models, with a report.

Nothing is changed in the model unless everything fits.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from mmengine.logging import MMLogger
from torch import nn

from swin_dense.checkpoints.adapt import fit_backbone
from swin_dense.checkpoints.class_heads import (
    FittedHeads,
    explain_counts,
    fit_heads,
)
from swin_dense.checkpoints.class_names import (
    check_names,
    class_names,
    reads_text,
    stored_classes,
)
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.metadata import metadata_of
from swin_dense.checkpoints.files.read import TRAINING_STATE, read_checkpoint
from swin_dense.checkpoints.finite import check_numbers
from swin_dense.checkpoints.identify import describe
from swin_dense.checkpoints.layouts.recognise import is_output_norm
from swin_dense.checkpoints.layouts.tensors import StateDict
from swin_dense.checkpoints.layouts.translate import (
    convert,
    describe_choice,
    extract_state_dict,
    lora_problem,
    rename_backbone,
)
from swin_dense.checkpoints.native import RECOMPUTED, family
from swin_dense.checkpoints.pretrained_windows import (
    fit_coordinates,
    set_coordinates,
    windows_for,
)
from swin_dense.checkpoints.report import LoadReport, Shape, mismatch_error

Checkpoint = str | os.PathLike | Mapping[str, Any]
Shapes = dict[str, tuple[Shape, Shape]]


def load_backbone(
    model: nn.Module,
    source: Checkpoint,
    *,
    forgive: Sequence[str] = (),
    inflate: bool | None = None,
    method: str = 'bicubic',
    source_window: tuple[int, ...] | None = None,
    allow_nonfinite: Sequence[str] = (),
) -> LoadReport:
    """Load pretrained weights into a backbone of this package.

    Bias tables and absolute embeddings are resized to the model. Dropped by
    rule are buffers that are recomputed, a classifier's own norm and head,
    everything outside the backbone, and norms of outputs that the model does
    not put out. Output norms may be missing in files of classifiers and
    recognizers, and in files that have none: they start fresh, as in the
    official code. Inflation takes a classifier's norm for the last output.

    Args:
        model: Backbone with native parameter names.
        source: Path, address, checkpoint or state_dict in any known format.
        forgive: Patterns as of `fnmatch` (`layers.3.*`) for native names that
            may be missing, unexpected or of another shape.
        inflate: Whether weights for images may go into a model for clips; by
            default what the model's `pretrained2d` says, else not.
        method: How bias tables are resized: `bicubic` or `geometric`.
        source_window: Window of the file's bias tables in tokens per axis.
            Needed where it is not square and the file has no buffers.
        allow_nonfinite: Patterns likewise for native names that may hold NaN
            or infinite numbers.

    Returns:
        The report; its summary is logged.

    Raises:
        CheckpointError: If the source cannot be read, its format is unknown,
            it is of another member of the family than the model, anything is
            missing, unexpected or of another shape, or numbers are of another
            kind, NaN or infinite.
    """
    label, checkpoint = _open(source)
    own = model.state_dict()
    stored = extract_state_dict(checkpoint)
    if inflate is None:
        inflate = getattr(model, 'pretrained2d', False)
    inflate = inflate and family(own) == 'video'
    # Inflation makes a classifier's norm that of the last output.
    keep = (*own, 'norm.weight', 'norm.bias') if inflate else own
    try:
        converted = convert(stored, keep=keep)
    except ValueError as error:
        raise CheckpointError(f'{label} is {error}') from error
    try:
        fitted = fit_backbone(
            model,
            converted,
            stored,
            metadata_of(checkpoint),
            method=method,
            source_window=source_window,
            inflating=inflate,
        )
    except ValueError as error:
        raise CheckpointError(f'{label}: {error}') from error
    report = LoadReport(str(converted.source), label)
    report.resized, report.notes = fitted.resized, fitted.notes
    report.dropped = converted.dropped
    given: StateDict = {}
    for name, value in fitted.state_dict.items():
        if name not in own and is_output_norm(name):
            report.dropped.append(converted.origin[name])
        else:
            given[name] = value
    fresh_norms = converted.source.kind in (
        'classifier',
        'recognizer',
    ) or not any(map(is_output_norm, converted.state_dict))

    def forgiven(name: str) -> bool:
        return _matches(name, forgive) or fresh_norms and is_output_norm(name)

    _load(
        model,
        given,
        report,
        forgiven,
        hints=lambda shapes, lacking: _guess(converted.state_dict, own),
        origin=converted.origin,
        allow_nonfinite=allow_nonfinite,
    )
    set_coordinates(model, fitted.coordinates)
    return report


def load_model(
    model: nn.Module,
    source: Checkpoint,
    *,
    classes: Sequence[str] | None = None,
    other_classes: str = 'refuse',
    forgive: Sequence[str] = (),
    label: str | None = None,
    allow_nonfinite: Sequence[str] = (),
) -> LoadReport:
    """Load a whole model: every tensor must be there and fit.

    A backbone in other names than the model's is renamed; nothing is resized.
    Where the file says which windows a Swin V2 was trained with, the model
    reads offsets in units of these, unless it was told others.

    Args:
        model: Detector, segmentor, ...
        source: Path, address, checkpoint or state_dict.
        classes: Names of the classes the model is used with, in order; by
            default those of `model.dataset_meta`, if any. A name that has
            another index in the checkpoint is an error, since labels would be
            swapped; other names are a warning.
        other_classes: What to do with a checkpoint of other classes.
            'refuse': another number is an error. 'reinitialise', to fine-tune
            the model: layers that depend on the number keep their initial
            values. 'copy', likewise: but rows of classes of the same name are
            copied to where they belong here.
        forgive: Patterns as of `fnmatch` for names that may be missing,
            unexpected or of another shape.
        label: What log and errors call the source; by default its path.
        allow_nonfinite: Patterns likewise for names that may hold NaN or
            infinite numbers.

    Returns:
        The report; its summary is logged. Layers with copied rows are among
        the resized; those that keep initial values are missing in the model's
        names and dropped in the file's.

    Raises:
        CheckpointError: If the source cannot be read, or does not fit; if
            rows are to be copied, but one side does not name its classes.
        ValueError: If `other_classes` is none of the three.
    """
    if other_classes not in ('refuse', 'reinitialise', 'copy'):
        raise ValueError(
            "other_classes must be 'refuse', 'reinitialise' or "
            f"'copy', got {other_classes!r}"
        )
    path, checkpoint = _open(source)
    label = label or path
    own = model.state_dict()
    stored = extract_state_dict(checkpoint)
    problem = lora_problem(stored, own)
    if problem:
        raise CheckpointError(f'{label} is {problem}')
    recorded = metadata_of(checkpoint)
    coordinates, told = fit_coordinates(
        model, windows_for(model, stored, recorded), recorded
    )
    recomputed = [
        name for name in stored if RECOMPUTED.search(name) and name not in own
    ]
    for name in recomputed:
        del stored[name]
    given, source_format = rename_backbone(stored, own)
    report = LoadReport(source_format, label, dropped=recomputed)
    trained = None if reads_text(model) else stored_classes(checkpoint)
    if classes is None:
        classes = class_names(
            {'dataset_meta': getattr(model, 'dataset_meta', None)}
        )
    names = _both(label, trained, classes) if other_classes == 'copy' else ()
    heads = fit_heads(model, given, *names)
    if trained and classes and not heads.notes:
        check_names(trained, classes, label=label, strict=False)
    if other_classes == 'refuse':
        heads = FittedHeads()
    report.resized, report.notes = list(heads.copied), heads.notes + told
    report.dropped += heads.fresh
    given = {
        name: heads.copied.get(name, value)
        for name, value in given.items()
        if name not in heads.fresh
    }

    def forgiven(name: str) -> bool:
        return (
            _matches(name, forgive)
            or name in heads.fresh
            or bool(RECOMPUTED.search(name))
        )

    def hints(shapes: Shapes, lacking: Sequence[str]) -> list[str]:
        found = explain_counts(model, shapes)
        if lacking and all(
            is_output_norm(_in_backbone(name)) for name in lacking
        ):
            found.append(
                'Only norms of outputs are missing: the file has those of '
                f'{_norms(given)}, the model of {_norms(own)}. Set '
                'backbone.out_indices to the outputs that the file has, or '
                'give it as backbone.init_cfg, where new norms may start.'
            )
        elif source_format.endswith((' classifier', ' backbone')):
            found.append(
                'It holds a backbone only: give it as backbone.init_cfg='
                "dict(type='Pretrained', checkpoint=...) in the config."
            )
        try:
            theirs, mine = convert(given), convert(own)
        except ValueError:  # one of them is no Swin
            return found
        return found + _guess(theirs.state_dict, mine.state_dict)

    _load(
        model, given, report, forgiven, hints, allow_nonfinite=allow_nonfinite
    )
    set_coordinates(model, coordinates)
    return report


def _both(
    label: str, trained: list[str] | None, classes: Sequence[str] | None
) -> tuple[list[str], Sequence[str]]:
    """The names of both sides' classes, or an error."""
    if not trained or not classes:
        unnamed = 'the data set' if trained else label
        raise CheckpointError(
            f'{unnamed} does not name its classes, so rows of {label} cannot '
            'be copied by name: leave copy_classes out'
        )
    return trained, classes


def _open(source: Checkpoint) -> tuple[str, Mapping[str, Any]]:
    """What to call the source, and its content."""
    if isinstance(source, Mapping):
        return 'the given state_dict', source
    # What is taken is copied into the model.
    checkpoint = read_checkpoint(source, mmap=True, without=TRAINING_STATE)
    choice = describe_choice(checkpoint)
    if choice:
        MMLogger.get_current_instance().info(f'{source}: {choice}')
    return os.fspath(source), checkpoint


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _in_backbone(name: str) -> str:
    """Return the name that a parameter of a model has in its backbone."""
    return name.removeprefix('backbone.')


def _norms(state: Iterable[str]) -> str:
    """Return the outputs that have norms, for a message."""
    numbers = sorted(
        _in_backbone(name).removeprefix('norm').partition('.')[0]
        for name in state
        if is_output_norm(_in_backbone(name)) and name.endswith('.weight')
    )
    return ', '.join(numbers) or 'none'


def _guess(theirs: StateDict, mine: StateDict) -> list[str]:
    """A sentence on which variants do not fit each other."""
    looks, model = describe(theirs), describe(mine)
    if looks is None or model is None or looks == model:
        return []
    return [f'It looks like {looks}, the model is {model}.']


def _load(
    model: nn.Module,
    given: StateDict,
    report: LoadReport,
    forgiven: Callable[[str], bool],
    hints: Callable[[Shapes, Sequence[str]], list[str]],
    origin: Mapping[str, str] | None = None,
    allow_nonfinite: Sequence[str] = (),
) -> LoadReport:
    """Fill the lists of the report and the model, or raise."""
    own = model.state_dict()
    shapes = {
        name: (tuple(value.shape), tuple(own[name].shape))
        for name, value in given.items()
        if name in own and value.shape != own[name].shape
    }
    fits = {
        name: value
        for name, value in given.items()
        if name in own and name not in shapes
    }
    missing = [name for name in own if name not in given]
    unexpected = [name for name in given if name not in own]

    def theirs(names: Iterable[str]) -> list[str]:
        return [(origin or {}).get(name, name) for name in names]

    def unforgiven(names: Iterable[str]) -> list[str]:
        return [name for name in names if not forgiven(name)]

    wrong = {name: shapes[name] for name in unforgiven(shapes)}
    lacking, extra = unforgiven(missing), unforgiven(unexpected)
    if lacking or extra or wrong:
        raise mismatch_error(
            f'{report.label} ({report.source_format})',
            len(own),
            lacking,
            theirs(extra),
            wrong,
            hints(wrong, lacking),
        )
    check_numbers(
        fits,
        f'{report.label} ({report.source_format})',
        own,
        allow_nonfinite,
        origin,
    )
    report.loaded = [name for name in fits if name not in report.resized]
    report.missing = missing + list(shapes)
    report.unexpected = theirs([*unexpected, *shapes])
    model.load_state_dict(fits, strict=False)
    MMLogger.get_current_instance().info(report.summary())
    return report
