"""Whole files from one source's names to another's."""

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
from swin_dense.checkpoints.files.metadata import metadata_of
from swin_dense.checkpoints.finite import check_numbers
from swin_dense.checkpoints.identify import describe
from swin_dense.checkpoints.layouts.recognise import is_output_norm
from swin_dense.checkpoints.layouts.targets import export, unsupported_names
from swin_dense.checkpoints.layouts.tensors import StateDict
from swin_dense.checkpoints.layouts.translate import (
    CLASSIFIER,
    BackboneFile,
    convert,
    extract_state_dict,
)
from swin_dense.checkpoints.report import LoadReport, mismatch_error

_WHOLE = ('detector', 'segmentor', 'recognizer')
# Where the names of their necks and heads go on to mean something.
_HOSTS = ('official', 'mmdet', 'mmseg', 'mmaction')
_SHOWN = 4  # kinds of names in a list
_PREFIX = 'backbone.'
# Who expects this prefix of a backbone by itself, too.
_PREFIXED = ('mmdet', 'mmseg', 'mmpretrain')
# Under which key readers of a target look for the weights of a backbone or
# classifier; None for a file that is a state_dict itself.
_WRAPPERS = dict(official='model', torchvision=None, huggingface=None)


@dataclass
class Conversion:
    """A converted checkpoint, and what became of the tensors.

    Attributes:
        checkpoint: What to write.
        weights: The state_dict in it.
        metadata: What to record about it.
        report: The five lists. Those of the backbone that are loaded, missing
            or unexpected have native names, all others those of the source.
        arch: The variant, for people.
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
) -> Conversion:
    """Give a checkpoint the names and layout of another implementation.

    A classifier keeps its norm and head. A detector, segmentor or recognizer
    keeps everything outside of its backbone, by the same names, where the
    target is one of the frameworks that know these; elsewhere that is
    dropped. `meta` is kept; optimizer states and the like are left behind.

    Args:
        checkpoint: As `read_checkpoint` returns it.
        target: One of `formats.TARGETS`.
        label: What errors call it.
        forgive: Patterns as of `fnmatch` for native names that may be missing
            or unexpected. What is unexpected is never written.
        allow_nonfinite: Patterns likewise for names that may hold NaN or
            infinite numbers.
        weights: Where the checkpoint has the weights, see
        `extract_state_dict`.

    Raises:
        CheckpointError: If the format is unknown, the target has no such
            model, numbers are of another kind, NaN or infinite, or tensors
            are missing or unexpected. The last has the five lists as its
            `report`.
    """
    try:
        state_dict = extract_state_dict(checkpoint, weights)
        converted = convert(state_dict, keep=CLASSIFIER)
    except ValueError as error:
        raise CheckpointError(f'{label} is {error}') from error
    source, recorded = converted.source, metadata_of(checkpoint)
    windows = known_windows(converted, state_dict, recorded)
    report = LoadReport(str(source), label, dropped=converted.dropped)
    missing, unexpected = _compare(converted.state_dict, windows.get('window'))
    report.missing, report.unexpected = missing, unexpected
    report.loaded = [
        name for name in converted.state_dict if name not in unexpected
    ]
    arch = describe(converted.state_dict) or 'a Swin'
    _refuse(report, arch, forgive)
    check_numbers(
        converted.state_dict,
        f'{label} ({source})',
        allow_nonfinite=allow_nonfinite,
        origin=converted.origin,
    )
    try:
        exported = _export(converted, report, target)
    except ValueError as error:
        raise CheckpointError(f'{label} ({source}): {error}') from error
    whole = source.kind in _WHOLE and target in _HOSTS
    if whole or target in _PREFIXED:
        prefix = source.prefix if whole else _PREFIX
        # A classifier for mmpretrain has its head next to the backbone.
        outside = (_PREFIX, 'head.')
        exported = {
            name if name.startswith(outside) else prefix + name: value
            for name, value in exported.items()
        }
    if whole:
        around = {
            name: state_dict[name]
            for name in report.dropped
            if not name.startswith(source.prefix)
        }
        check_numbers(around, f'{label} ({source})', around, allow_nonfinite)
        exported.update(around)
        report.loaded += list(around)
        report.dropped = [n for n in report.dropped if n not in around]
    return Conversion(
        _wrap(exported, checkpoint, target, whole),
        exported,
        {**recorded, **windows},
        report,
        arch,
    )


def format_lists(report: LoadReport, verbose: bool = False) -> str:
    """The five lists, for people.

    Args:
        report: The report.
        verbose: Whether to give all names, instead of the first kinds of
            them with their counts.
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
            lines.append(f'{line}  {_kinds(names)}'.rstrip())
    return '\n'.join(lines)


def _kinds(names: Sequence[str]) -> str:
    """Names that differ in numbers alone, together."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(re.sub(r'\b\d+\b', '*', name), []).append(name)
    texts = [
        f'{kind} ({len(alike)})' if len(alike) > 1 else alike[0]
        for kind, alike in kinds.items()
    ]
    more = [f'{len(texts) - _SHOWN} more kinds'] if len(texts) > _SHOWN else []
    return ', '.join(texts[:_SHOWN] + more)


def _compare(
    native: StateDict, window: Sequence[int] | None
) -> tuple[list[str], list[str]]:
    """Native names that are missing in a backbone, and that it has not.

    Nothing is where no backbone of this package is meant. Output norms may
    be absent, the norm and head of a classifier may be there.
    """
    settings = backbone_settings(native, window)
    if not settings:
        return [], []
    own = empty_backbone(settings).state_dict()
    missing = [
        name for name in own if name not in native and not is_output_norm(name)
    ]
    unexpected = [
        name
        for name in native
        if name not in own
        and name not in CLASSIFIER
        and not is_output_norm(name)
    ]
    return missing, unexpected


def _refuse(report: LoadReport, arch: str, forgive: Sequence[str]) -> None:
    """Raise if the backbone is not whole."""

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


def _export(
    converted: BackboneFile, report: LoadReport, target: str
) -> StateDict:
    """The loaded tensors in the names of the target.

    It may have no place for the norms of outputs, or for those of a
    classifier: these are dropped.
    """
    native = {name: converted.state_dict[name] for name in report.loaded}
    for name in unsupported_names(native, target):
        if name in CLASSIFIER or is_output_norm(name):
            del native[name]
            report.loaded.remove(name)
            report.dropped.append(converted.origin.get(name, name))
    return export(native, target)


def _wrap(
    weights: StateDict, checkpoint: Mapping[str, Any], target: str, whole: bool
) -> Mapping[str, Any]:
    key = 'state_dict' if whole else _WRAPPERS.get(target, 'state_dict')
    if key is None:
        return weights
    meta = checkpoint.get('meta')
    return {'meta': meta if isinstance(meta, Mapping) else {}, key: weights}
