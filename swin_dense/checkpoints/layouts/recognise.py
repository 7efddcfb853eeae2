"""Telling from names and shapes alone where a state_dict comes from."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from swin_dense.checkpoints.layouts import known as names
from swin_dense.checkpoints.layouts.layout import Layout
from swin_dense.checkpoints.native import native_names, prefix_above

# Parameters that every Swin of a layout has, and few others have.
_MARKER = re.compile(
    r'(?P<prefix>(?:.*\.)?)(?:'
    r'(?P<official>layers\.\d+\.blocks\.\d+\.(?:attn\.(?:'
    r'relative_position_bias_table|logit_scale|'
    r'(?:cpb|rpe)_mlp\.0\.weight)|spatial_mlp\.weight))|'
    r'(?P<mmdet>stages\.\d+\.blocks\.\d+\.attn\.w_msa\..+)|'
    r'(?P<torchvision>features\.\d+\.\d+\.attn\.(?:'
    r'relative_position_bias_table|logit_scale))|'
    r'(?P<transformers>encoder\.layers\.\d+\.blocks\.\d+\.'
    r'attention\..+))$'
)
_MERGING = re.compile(r'(?:layers|stages)\.(\d+)\.downsample\.')
_OUTPUT_NORM = re.compile(r'norm\d+\.')

# Next to an `encoder.`: the second network of a contrastive method and the
# teacher of feature distillation. What is wanted is the encoder.
_COMPANIONS = {'encoder_k.', 'feature_model.'}
_PRETRAINING = (names.SIMMIM, names.MOBY, names.DISTILLATION)
_HEADS = dict(
    decode_head='segmentor', cls_head='recognizer', head='classifier'
)


class Source(NamedTuple):
    """What a state_dict turned out to be.

    Attributes:
        layout: Names of its backbone.
        kind: `backbone`, `classifier`, `detector`, `segmentor`, `recognizer`
            or, of self-supervised methods, `pretraining`.
        prefix: What its backbone's names start with, such as '' or
            'backbone.'.
    """

    layout: Layout
    kind: str
    prefix: str

    def __str__(self) -> str:
        return f'{self.layout.name} {self.kind}'


def recognise(
    state_dict: Mapping[str, Any], prefix: str | None = None
) -> Source:
    """Find out whose names a state_dict has, and of what model it is.

    Args:
        state_dict: Names and tensors, or anything with a shape.
        prefix: What the names of the wanted backbone start with, for files
            that hold several.

    Raises:
        ValueError: If it is in no known format, lists its first names; if it
            holds several backbones, says where they are.
    """
    found: dict[str, str] = {}
    for name in state_dict:
        match = _MARKER.match(name)
        if match:
            found.setdefault(match['prefix'], str(match.lastgroup))
    prefix = _the_one(state_dict, found, prefix)
    inside = {
        name[len(prefix) :]: value
        for name, value in state_dict.items()
        if name.startswith(prefix)
    }
    marker = found[prefix]
    if marker == 'torchvision':
        video = 'patch_embed.proj.weight' in inside
        layout = names.TORCHVISION_VIDEO if video else names.TORCHVISION
    elif marker == 'transformers':
        layout = names.HUGGING_FACE
    elif marker == 'mmdet':
        v2 = any(name.endswith('.logit_scale') for name in inside)
        layout = names.MMPRETRAIN_V2 if v2 else names.MMDET
    else:
        layout = _official(inside, _beside(state_dict, prefix), prefix)
    kind = _kind(state_dict, layout, prefix)
    if (
        layout is names.MMDET
        and prefix
        and kind in ('classifier', 'pretraining')
    ):
        layout = names.MMPRETRAIN
    return Source(layout, kind, prefix)


def _the_one(
    state_dict: Mapping[str, Any], found: Mapping[str, str], prefix: str | None
) -> str:
    """The prefix to take, of those found."""
    if not found:
        first = ', '.join(list(state_dict)[:5]) or 'none: it holds no tensors'
        raise ValueError(
            f'not a Swin in a known format. Its first names: {first}. Known '
            'are the names of: Microsoft (also SimMIM, MoBY, feature '
            'distillation), mmdet, mmseg, mmaction2, mmpretrain, timm, '
            'torchvision, Hugging Face; with or without a prefix such as '
            '"backbone.", bare or under "state_dict" or "model"'
        )
    if prefix is None and len(found) > 1:
        wanted = set(found) - _COMPANIONS
        prefix = 'encoder.' if wanted == {'encoder.'} else None
    if prefix is None and len(found) == 1:
        prefix = next(iter(found))
    if prefix is None or prefix not in found:
        places = ', '.join(repr(each) for each in found)
        what = (
            'not a checkpoint with one Swin: it holds several'
            if prefix is None
            else f'not a checkpoint with a Swin under {prefix!r}: it holds'
        )
        raise ValueError(
            f'{what}, their names start with {places}. Give the one you want '
            'alone: {k[len(prefix):]: v for k, v in state_dict.items() if '
            'k.startswith(prefix)}'
        )
    return prefix


def _official(
    inside: Mapping[str, Any], beside: set[str], prefix: str
) -> Layout:
    """Who uses the official names, or nearly."""
    if prefix == 'encoder.':
        if {'encoder_k', 'projector', 'predictor', 'queue1'} & beside:
            return names.MOBY
        if 'feature_model' in beside:
            return names.DISTILLATION
        if 'decoder' in beside or 'mask_token' in inside:
            return names.SIMMIM
    merging = {m[1] for m in map(_MERGING.match, inside) if m}
    if merging and '0' not in merging:
        return names.TIMM
    patch = inside.get('patch_embed.proj.weight')
    if patch is not None and len(patch.shape) == 5:
        named = any(map(is_output_norm, inside))
        return names.MMACTION if named else names.VIDEO
    return names.MICROSOFT


def _beside(state_dict: Iterable[str], prefix: str) -> set[str]:
    """First parts of the names next to a backbone."""
    above = prefix_above(prefix)
    return {
        name[len(above) :].split('.')[0]
        for name in state_dict
        if name.startswith(above) and not name.startswith(prefix)
    }


def _kind(state_dict: Iterable[str], layout: Layout, prefix: str) -> str:
    """The kind of model, by the names in and around the backbone."""
    own = native_names(state_dict, layout, prefix)
    others = [name for name in state_dict if name not in own]
    beside = _beside(others, prefix)
    natives = set(own.values())
    if layout in _PRETRAINING or 'mask_token' in natives:
        return 'pretraining'
    for head, kind in _HEADS.items():
        if head in beside:
            return kind
    if 'head.weight' in natives:
        return 'classifier'
    if others:
        return 'detector'
    if any(map(is_output_norm, natives)) or 'norm.weight' not in natives:
        return 'backbone'
    return 'classifier'


def is_output_norm(name: str) -> bool:
    """Whether a native name belongs to the norm of one of the outputs."""
    return _OUTPUT_NORM.match(name) is not None
