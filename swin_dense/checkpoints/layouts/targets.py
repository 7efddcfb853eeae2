"""Backbones in the names of those who are to take them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from swin_dense.checkpoints.layouts import known as names
from swin_dense.checkpoints.layouts.layout import Layout
from swin_dense.checkpoints.layouts.recognise import is_output_norm
from swin_dense.checkpoints.layouts.tensors import StateDict
from swin_dense.checkpoints.native import (
    FAMILIES,
    RECOMPUTED,
    encode,
    family,
    last_norm,
    renamed,
)

_OFFICIAL = {
    'v1': names.MICROSOFT,
    'v2': names.MICROSOFT,
    'mlp': names.MICROSOFT,
    'moe': names.MICROSOFT,
    'video': names.VIDEO,
}
_TARGETS: dict[str, dict[str, Layout]] = {
    'official': _OFFICIAL,
    'mmdet': dict(v1=names.MMDET),
    'mmseg': dict(v1=names.MMDET),
    'mmaction': dict(video=names.MMACTION),
    'mmpretrain': dict(v1=names.MMPRETRAIN, v2=names.MMPRETRAIN_V2),
    'timm': dict(v1=names.TIMM, v2=names.TIMM),
    'torchvision': dict(
        v1=names.TORCHVISION,
        v2=names.TORCHVISION,
        video=names.TORCHVISION_VIDEO,
    ),
    'huggingface': dict(v1=names.HUGGING_FACE, v2=names.HUGGING_FACE_V2),
}
TARGETS = tuple(_TARGETS)


def export(native: Mapping[str, Tensor], target: str) -> StateDict:
    """A native backbone in the names of somebody else: `convert`, undone.

    There is no prefix `backbone.`, except with a classifier for mmpretrain,
    whose head is next to the backbone. For Hugging Face the names are those
    of published files, which every version of transformers reads: with output
    norms those of a `SwinBackbone`, else those of a `SwinModel` or
    `Swinv2Model` within another model. Buffers that models recompute are not
    made.

    Args:
        native: Backbone in native names, see `convert`.
        target: One of `TARGETS`.

    Raises:
        ValueError: If there is no such target, or it has no such models, or
            no place for some of the tensors: see `unsupported_names`.
    """
    layout = _target_layout(native, target)
    lost = unsupported_names(native, target)
    if lost:
        raise ValueError(
            f'{layout.name} has no place for {len(lost)} of '
            f'{len(native)} tensors: {", ".join(lost[:8])}'
            f'{", ..." if len(lost) > 8 else ""}. Leave them out, if they are '
            'not wanted there'
        )
    own = target_names(_stored(native), layout)
    prefix = ''
    if layout in names.BY_MMPRETRAIN and 'head.weight' in native:
        prefix = 'backbone.'
    if layout is names.HUGGING_FACE_V2:
        prefix = 'swinv2.'
    elif layout is names.HUGGING_FACE:
        prefix = '' if any(map(is_output_norm, own)) else 'swin.'
    return encode({own[name]: native[name] for name in own}, layout, prefix)


def unsupported_names(native: Mapping[str, Tensor], target: str) -> list[str]:
    """Native names of tensors that a target has no place for.

    Norms of outputs, for instance, where its models are classifiers.

    Raises:
        ValueError: If there is no such target, or it has no such models.
    """
    layout = _target_layout(native, target)
    lacks = re.compile(layout.unsupported)
    own = target_names(_stored(native), layout)
    return [name for name, theirs in own.items() if lacks.match(theirs)]


def _target_layout(native: Mapping[str, Any], target: str) -> Layout:
    if target not in _TARGETS:
        raise ValueError(
            f'no target {target!r}: expected one of {", ".join(TARGETS)}'
        )
    kind = family(native)
    if kind not in _TARGETS[target]:
        others = [name for name, has in _TARGETS.items() if kind in has]
        raise ValueError(
            f'{target} has no {FAMILIES[kind]} ({kind}): expected one of '
            f'{", ".join(others)}'
        )
    return _TARGETS[target][kind]


def _stored(native: Iterable[str]) -> list[str]:
    return [name for name in native if not RECOMPUTED.search(name)]


def target_names(native: Iterable[str], layout: Layout) -> dict[str, str]:
    """Native names, and what the final norm is called among them."""
    own = {name: name for name in native}
    last = last_norm(own)
    if layout.final_norm:
        return renamed(own, last, 'norm.')
    if (
        layout in names.BY_MMPRETRAIN
        and 'head.weight' in own
        and f'{last}weight' not in own
    ):
        return renamed(own, 'norm.', last)
    return own
