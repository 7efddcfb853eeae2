"""Backbones in the names of those who are to take them."""
import re
from typing import Any, Iterable, Mapping

from torch import Tensor

from swin_dense.checkpoints import naming as names
from swin_dense.checkpoints.naming import Naming
from swin_dense.checkpoints.sources import is_output_norm
from swin_dense.checkpoints.translation import (FAMILIES, RECOMPUTED, encode,
                                                family, last_norm, renamed)
from swin_dense.checkpoints.values import StateDict

_OFFICIAL = {
    'v1': names.MICROSOFT,
    'v2': names.MICROSOFT,
    'mlp': names.MICROSOFT,
    'moe': names.MICROSOFT,
    'video': names.VIDEO
}
_TARGETS: dict[str, dict[str, Naming]] = {
    'official':
    _OFFICIAL,
    'mmdet':
    dict(v1=names.MMDET),
    'mmseg':
    dict(v1=names.MMDET),
    'mmaction':
    dict(video=names.MMACTION),
    'mmpretrain':
    dict(v1=names.MMPRETRAIN, v2=names.MMPRETRAIN_V2),
    'timm':
    dict(v1=names.TIMM, v2=names.TIMM),
    'torchvision':
    dict(
        v1=names.TORCHVISION,
        v2=names.TORCHVISION,
        video=names.TORCHVISION_VIDEO),
    'huggingface':
    dict(v1=names.HUGGING_FACE, v2=names.HUGGING_FACE_V2),
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
            no place for some of the tensors: see `unplaced`.
    """
    naming = _target_naming(native, target)
    lost = unplaced(native, target)
    if lost:
        raise ValueError(
            f'{naming.name} has no place for {len(lost)} of '
            f'{len(native)} tensors: {", ".join(lost[:8])}'
            f'{", ..." if len(lost) > 8 else ""}. Leave them out, if they are '
            'not wanted there')
    own = target_names(_stored(native), naming)
    prefix = ''
    if naming in names.BY_MMPRETRAIN and 'head.weight' in native:
        prefix = 'backbone.'
    if naming is names.HUGGING_FACE_V2:
        prefix = 'swinv2.'
    elif naming is names.HUGGING_FACE:
        prefix = '' if any(map(is_output_norm, own)) else 'swin.'
    return encode({own[name]: native[name] for name in own}, naming, prefix)


def unplaced(native: Mapping[str, Tensor], target: str) -> list[str]:
    """Native names of tensors that a target has no place for.

    Norms of outputs, for instance, where its models are classifiers.

    Raises:
        ValueError: If there is no such target, or it has no such models.
    """
    naming = _target_naming(native, target)
    lacks = re.compile(naming.lacks)
    own = target_names(_stored(native), naming)
    return [name for name, theirs in own.items() if lacks.match(theirs)]


def _target_naming(native: Mapping[str, Any], target: str) -> Naming:
    if target not in _TARGETS:
        raise ValueError(f'no target {target!r}: expected one of '
                         f'{", ".join(TARGETS)}')
    kind = family(native)
    if kind not in _TARGETS[target]:
        others = [name for name, has in _TARGETS.items() if kind in has]
        raise ValueError(
            f'{target} has no {FAMILIES[kind]} ({kind}): expected one of '
            f'{", ".join(others)}')
    return _TARGETS[target][kind]


def _stored(native: Iterable[str]) -> list[str]:
    return [name for name in native if not RECOMPUTED.search(name)]


def target_names(native: Iterable[str], naming: Naming) -> dict[str, str]:
    """Native names, and what the final norm is called among them."""
    own = {name: name for name in native}
    last = last_norm(own)
    if naming.final_norm:
        return renamed(own, last, 'norm.')
    if (naming in names.BY_MMPRETRAIN and 'head.weight' in own
            and f'{last}weight' not in own):
        return renamed(own, 'norm.', last)
    return own
