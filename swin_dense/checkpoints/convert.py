"""Convert checkpoints to the names and layout of another source."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from swin_dense.checkpoints.backbone_settings import (
    backbone_settings,
    empty_backbone,
    known_windows,
)
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.finite import check_numbers
from swin_dense.checkpoints.identify import describe
from swin_dense.checkpoints.layouts.export import (
    export,
    source_of,
    unsupported_names,
)
from swin_dense.checkpoints.layouts.tensors import StateDict
from swin_dense.checkpoints.layouts.translate import (
    CLASSIFIER,
    BackboneFile,
    read_backbone,
)
from swin_dense.checkpoints.native import is_output_norm
from swin_dense.checkpoints.report import LoadReport, mismatch_error

# Kinds of models that have necks and heads.
_WHOLE = ('detector', 'segmentor', 'recognizer')
_SHOWN = 4  # kinds of names in a list


@dataclass
class Conversion:
    """A converted checkpoint.

    Attributes:
        checkpoint: Checkpoint to write.
        weights: State_dict in the checkpoint.
        metadata: Metadata to record in the checkpoint.
        report: The five lists. Parameters of the backbone that are loaded,
            missing or unexpected have native names, all others the names of
            the source.
        arch: Description of the variant.
    """

    checkpoint: Mapping[str, Any]
    weights: StateDict
    metadata: dict[str, Any]
    report: LoadReport
    arch: str


def convert_checkpoint(
    checkpoint: Mapping[str, Any],
    target: str,
    *,
    label: str = 'the checkpoint',
    forgive: Sequence[str] = (),
    allow_nonfinite: Sequence[str] = (),
    weights: str | None = None,
    prefix: str | None = None,
) -> Conversion:
    """Give a checkpoint the names and layout of another source.

    A classifier keeps its norm and head. The neck and heads of a detector,
    segmentor or recognizer are kept under the same names if the target knows
    these names, and dropped otherwise. `meta` is kept; optimizer states and
    the like are dropped.

    Args:
        checkpoint: Checkpoint as `read_checkpoint` returns it.
        target: One of `export.TARGETS`.
        label: Name of the checkpoint in errors.
        forgive: Patterns of `fnmatch` for native names that may be missing or
            unexpected. Unexpected tensors are never written.
        allow_nonfinite: Patterns of `fnmatch` for names that may hold NaN or
            infinite values.
        weights: Key of the weights in the checkpoint, see
            `extract_state_dict`.
        prefix: Prefix of the names of the backbone to convert, for a
            checkpoint that holds several.

    Raises:
        CheckpointError: If the source is unknown; if the target has no such
            model; if weights are not floating-point or not finite; or if
            tensors are missing or unexpected. In the last case the error has
            a `report` with the five lists.
    """
    try:
        file = read_backbone(checkpoint, CLASSIFIER, prefix, weights)
    except ValueError as error:
        raise CheckpointError(f'{label} is {error}') from error
    recognised, windows = file.recognised, known_windows(file)
    described = f'{label} ({recognised})'
    report = LoadReport(str(recognised), label, dropped=list(file.dropped))
    missing, unexpected = _compare(file.weights, windows.get('window'))
    report.missing, report.unexpected = missing, unexpected
    report.loaded = [name for name in file.weights if name not in unexpected]
    arch = describe(file.weights) or 'a Swin'
    _check_complete(report, arch, forgive)
    check_numbers(
        file.weights,
        described,
        allow_nonfinite=allow_nonfinite,
        origin=file.origin,
    )
    try:
        exported = _export(file, report, target)
    except ValueError as error:
        raise CheckpointError(f'{described}: {error}') from error
    source = source_of(target)
    is_whole = recognised.kind in _WHOLE and source.keeps_heads
    prefix = recognised.prefix if is_whole else source.file_prefix
    if prefix:
        # A classifier for mmpretrain has its head next to the backbone.
        prefixed = (source.file_prefix or prefix, 'head.')
        exported = {
            name if name.startswith(prefixed) else prefix + name: value
            for name, value in exported.items()
        }
    if is_whole:
        outside = {
            name: file.stored[name]
            for name in report.dropped
            if not name.startswith(recognised.prefix)
        }
        check_numbers(outside, described, outside, allow_nonfinite)
        exported.update(outside)
        report.loaded += list(outside)
        report.dropped = [n for n in report.dropped if n not in outside]
    return Conversion(
        _wrap(
            exported, checkpoint, 'state_dict' if is_whole else source.wrapper
        ),
        exported,
        {**file.recorded, **windows},
        report,
        arch,
    )


def format_lists(report: LoadReport, verbose: bool = False) -> str:
    """Return the five lists as text.

    Args:
        report: The report.
        verbose: If true, all names are listed; else the first kinds of names
            with their counts.
    """
    lists = {
        'loaded': report.loaded,
        'resized': report.resized,
        'dropped by rule': report.dropped,
        'missing': report.missing,
        'unexpected': report.unexpected,
    }
    lines = []
    for title, names in lists.items():
        line = f'  {title:<15} {len(names):>4}'
        if verbose:
            lines += [line, *(f'      {name}' for name in names)]
        else:
            lines.append(f'{line}  {_name_patterns(names)}'.rstrip())
    return '\n'.join(lines)


def _name_patterns(names: Sequence[str]) -> str:
    """Return the first kinds of names, which differ in numbers alone."""
    by_pattern: dict[str, list[str]] = {}
    for name in names:
        by_pattern.setdefault(re.sub(r'\b\d+\b', '*', name), []).append(name)
    texts = [
        f'{pattern} ({len(members)})' if len(members) > 1 else members[0]
        for pattern, members in by_pattern.items()
    ]
    more = [f'{len(texts) - _SHOWN} more kinds'] if len(texts) > _SHOWN else []
    return ', '.join(texts[:_SHOWN] + more)


def _compare(
    native: StateDict, window: Sequence[int] | None
) -> tuple[list[str], list[str]]:
    """Compare weights with the backbone that they are for.

    Output norms may be absent, and the norm and head of a classifier present.

    Returns:
        Native names that are missing, and names that the backbone does not
        have. Both are empty if this package has no such backbone.
    """
    settings = backbone_settings(native, window)
    if not settings:
        return [], []
    expected = empty_backbone(settings).state_dict()
    missing = [
        name
        for name in expected
        if name not in native and not is_output_norm(name)
    ]
    unexpected = [
        name
        for name in native
        if name not in expected
        and name not in CLASSIFIER
        and not is_output_norm(name)
    ]
    return missing, unexpected


def _check_complete(
    report: LoadReport, arch: str, forgive: Sequence[str]
) -> None:
    """Raise if tensors of the backbone are missing or unexpected."""

    def unforgiven(names: Sequence[str]) -> list[str]:
        return [
            name
            for name in names
            if not any(fnmatchcase(name, pattern) for pattern in forgive)
        ]

    missing = unforgiven(report.missing)
    unexpected = unforgiven(report.unexpected)
    if missing or unexpected:
        total = len(report.loaded) + len(report.missing)
        error = mismatch_error(
            f'{report.label} ({report.source_format})',
            total,
            missing,
            unexpected,
            {},
            [f'It looks like {arch}.'],
        )
        error.report = report
        raise error


def _export(file: BackboneFile, report: LoadReport, target: str) -> StateDict:
    """Return the loaded tensors under the names of the target.

    Norms of outputs, and the norm and head of a classifier, are dropped if
    the target's models lack them.
    """
    native = {name: file.weights[name] for name in report.loaded}
    for name in unsupported_names(native, target):
        if name in CLASSIFIER or is_output_norm(name):
            del native[name]
            report.loaded.remove(name)
            report.dropped.append(file.origin.get(name, name))
    return export(native, target)


def _wrap(
    weights: StateDict, checkpoint: Mapping[str, Any], key: str | None
) -> Mapping[str, Any]:
    """Return weights under a key beside `meta`, or by themselves."""
    if key is None:
        return weights
    meta = checkpoint.get('meta')
    return {'meta': meta if isinstance(meta, Mapping) else {}, key: weights}
