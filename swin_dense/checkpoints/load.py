"""Strict loading of backbones and whole models, with a report.

The model is not changed unless everything fits.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.logging import MMLogger
from torch import nn

from swin_dense.checkpoints.adapt import adapt_backbone
from swin_dense.checkpoints.class_heads import (
    FittedHeads,
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
from swin_dense.checkpoints.layouts.tensors import StateDict
from swin_dense.checkpoints.layouts.translate import (
    describe_choice,
    extract_state_dict,
    lora_problem,
    read_backbone,
    rename_backbone,
)
from swin_dense.checkpoints.load_hints import (
    Shapes,
    describe_difference,
    explain_model_mismatch,
)
from swin_dense.checkpoints.native import (
    INFLATED_FROM,
    RECOMPUTED,
    family,
    is_output_norm,
    last_norm,
    replace_prefix,
)
from swin_dense.checkpoints.pretrained_windows import (
    choose_pretrained_windows,
    pretrained_windows_for,
    set_pretrained_windows,
)
from swin_dense.checkpoints.report import LoadReport
from swin_dense.checkpoints.strict import load_strictly, matches_any

Checkpoint = str | os.PathLike | Mapping[str, Any]


def load_backbone(
    model: nn.Module,
    source: Checkpoint,
    *,
    forgive: Sequence[str] = (),
    inflate: bool | None = None,
    method: str = 'bicubic',
    source_window: tuple[int, ...] | None = None,
    prefix: str | None = None,
    final_norm: bool = False,
    allow_nonfinite: Sequence[str] = (),
) -> LoadReport:
    """Load pretrained weights into a backbone of this package.

    Bias tables and absolute embeddings are resized to the model. These
    tensors are dropped by rule: buffers that are recomputed, the norm and head
    of a classifier, everything outside of the backbone, and norms of outputs
    that the model does not have. Output norms may be missing in checkpoints
    of classifiers and recognizers, and in checkpoints without any: the norms
    of the model then keep their initial values, as in the official code.
    Inflation takes the norm of a classifier for that of the last output.

    Args:
        model: Backbone with native parameter names.
        source: Path, address, checkpoint or state_dict of any known source.
        forgive: Patterns of `fnmatch` (`layers.3.*`) for native names that
            may be missing, unexpected or of another shape.
        inflate: If true, weights for images may go into a model for clips. By
            default the model's attribute `pretrained2d`, else false.
        method: Method to resize bias tables: `bicubic` or `geometric`.
        source_window: Window of the bias tables in the checkpoint, in tokens
            per axis. Required if it is not square and the checkpoint has no
            buffers.
        prefix: Prefix of the names of the backbone to load, such as
            `backbone.`, for a checkpoint that holds several.
        final_norm: If true, the norm of a classifier becomes that of the last
            output, for a backbone that is used with frozen weights. Models
            with a norm named `norm` always take it.
        allow_nonfinite: Patterns of `fnmatch` for native names that may hold
            NaN or infinite values.

    Returns:
        The report; its summary is logged.

    Raises:
        CheckpointError: If the source cannot be read or is unknown; if it is
            of another member of the family than the model; if a tensor is
            missing, unexpected or of another shape; or if weights are not
            floating-point or not finite.
    """
    label, checkpoint = _open(source)
    model_state = model.state_dict()
    if inflate is None:
        inflate = getattr(model, 'pretrained2d', False)
    inflate = inflate and family(model_state) in INFLATED_FROM
    keep = list(model_state)
    if inflate or final_norm:  # it becomes the norm of the last output
        keep += ['norm.weight', 'norm.bias']
    try:
        file = read_backbone(checkpoint, frozenset(keep), prefix)
    except ValueError as error:
        raise CheckpointError(f'{label} is {error}') from error
    try:
        adapted = adapt_backbone(
            model,
            file,
            method=method,
            source_window=source_window,
            inflating=inflate,
        )
    except ValueError as error:
        raise CheckpointError(f'{label}: {error}') from error
    report = LoadReport(str(file.recognised), label)
    report.resized, report.notes = adapted.resized, adapted.notes
    report.dropped = list(file.dropped)
    weights: StateDict = {}
    for name, value in _with_last_norm(
        adapted.state_dict, model_state
    ).items():
        if name not in model_state and is_output_norm(name):
            report.dropped.append(file.origin[name])
        else:
            weights[name] = value
    norms_may_be_missing = file.recognised.kind in (
        'classifier',
        'recognizer',
    ) or not any(map(is_output_norm, file.weights))

    def is_forgiven(name: str) -> bool:
        return (
            matches_any(name, forgive)
            or norms_may_be_missing
            and (is_output_norm(name) or name.startswith('norm.'))
        )

    load_strictly(
        model,
        weights,
        report,
        is_forgiven,
        hints=lambda *_: describe_difference(file.weights, model_state),
        origin=file.origin,
        allow_nonfinite=allow_nonfinite,
    )
    set_pretrained_windows(model, adapted.pretrained_windows)
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
    """Load a whole model; every tensor must be present and fit.

    If the backbone has the names of another source, it is renamed. Nothing is
    resized. If the checkpoint records or implies the pretrained windows of a
    Swin V2, the model uses them, unless it was given others.

    Args:
        model: Detector, segmentor or another whole model.
        source: Path, address, checkpoint or state_dict.
        classes: Class names that the model is used with, in order; by default
            those of `model.dataset_meta`, if any. A name that has another
            index in the checkpoint is an error, since labels would be
            swapped. Names that the checkpoint does not have are a warning.
        other_classes: Treatment of a checkpoint of other classes. 'refuse':
            another number of classes is an error. 'reinitialise', for
            fine-tuning: layers that depend on the number of classes keep
            their initial values. 'copy', for fine-tuning: rows of classes
            with the same name are copied, other rows keep their initial
            values.
        forgive: Patterns of `fnmatch` for names that may be missing,
            unexpected or of another shape.
        label: Name of the source in log and errors; by default its path.
        allow_nonfinite: Patterns of `fnmatch` for names that may hold NaN or
            infinite values.

    Returns:
        The report; its summary is logged. Layers with copied rows are listed
        as resized. Layers that keep initial values are listed as missing, by
        the model's names, and as dropped, by the checkpoint's.

    Raises:
        CheckpointError: If the source cannot be read or does not fit; or, to
            copy rows, if checkpoint or model do not name their classes.
        ValueError: If `other_classes` has another value.
    """
    if other_classes not in ('refuse', 'reinitialise', 'copy'):
        raise ValueError(
            "other_classes must be 'refuse', 'reinitialise' or "
            f"'copy', got {other_classes!r}"
        )
    path, checkpoint = _open(source)
    label = label or path
    model_state = model.state_dict()
    stored = extract_state_dict(checkpoint)
    problem = lora_problem(stored, model_state)
    if problem:
        raise CheckpointError(f'{label} is {problem}')
    recorded = metadata_of(checkpoint)
    windows, window_notes = choose_pretrained_windows(
        model, pretrained_windows_for(model, stored, recorded), recorded
    )
    recomputed = [
        name
        for name in stored
        if RECOMPUTED.search(name) and name not in model_state
    ]
    for name in recomputed:
        del stored[name]
    weights, source_format = rename_backbone(stored, model_state)
    report = LoadReport(source_format, label, dropped=recomputed)
    trained = None if reads_text(model) else stored_classes(checkpoint)
    if classes is None:
        classes = class_names(
            {'dataset_meta': getattr(model, 'dataset_meta', None)}
        )
    if other_classes == 'copy':
        if not trained or not classes:
            unnamed = 'the data set' if trained else label
            raise CheckpointError(
                f'{unnamed} does not name its classes, so rows of {label} '
                'cannot be copied by name: leave copy_classes out'
            )
        heads = fit_heads(model, weights, trained, classes)
    else:
        heads = fit_heads(model, weights)
    if trained and classes and not heads.notes:
        check_names(trained, classes, label=label, strict=False)
    if other_classes == 'refuse':
        heads = FittedHeads()
    report.resized = list(heads.copied)
    report.notes = heads.notes + window_notes
    report.dropped += heads.fresh
    weights = {
        name: heads.copied.get(name, value)
        for name, value in weights.items()
        if name not in heads.fresh
    }

    def is_forgiven(name: str) -> bool:
        return (
            matches_any(name, forgive)
            or name in heads.fresh
            or bool(RECOMPUTED.search(name))
        )

    def hints(shapes: Shapes, missing: Sequence[str]) -> list[str]:
        return explain_model_mismatch(
            model, weights, source_format, shapes, missing
        )

    load_strictly(
        model,
        weights,
        report,
        is_forgiven,
        hints,
        allow_nonfinite=allow_nonfinite,
    )
    set_pretrained_windows(model, windows)
    return report


def _with_last_norm(
    weights: StateDict, model_state: Mapping[str, Any]
) -> StateDict:
    """Return weights whose last norm has the name that the model gives it.

    An encoder of pretraining calls it `norm`, as classifiers do; a backbone
    numbers it like its other outputs.
    """
    ours, theirs = 'norm.', last_norm(weights)
    if 'norm.weight' not in model_state:
        ours, theirs = theirs, ours
    if f'{ours}weight' in weights or f'{ours}weight' not in model_state:
        return weights
    names = replace_prefix({name: name for name in weights}, theirs, ours)
    return {names[name]: value for name, value in weights.items()}


def _open(source: Checkpoint) -> tuple[str, Mapping[str, Any]]:
    """Return a name for the source, and its content."""
    if isinstance(source, Mapping):
        return 'the given state_dict', source
    # Mapped, since loading copies the tensors that it needs into the model.
    checkpoint = read_checkpoint(source, mmap=True, without=TRAINING_STATE)
    choice = describe_choice(checkpoint)
    if choice:
        MMLogger.get_current_instance().info(f'{source}: {choice}')
    return os.fspath(source), checkpoint
