"""Recognise the source of a state_dict by names and shapes alone."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from swin_dense.checkpoints.layouts import known
from swin_dense.checkpoints.layouts.layout import Layout
from swin_dense.checkpoints.layouts.source import Clues, Source
from swin_dense.checkpoints.native import (
    family,
    is_output_norm,
    native_names,
    prefix_above,
)

# Next to an `encoder.`: the second network of a contrastive method, and the
# teacher of feature distillation. The encoder is the backbone to load.
_COMPANIONS = {'encoder_k.', 'feature_model.'}
# Kind of model by the name of its head.
_HEADS = dict(
    decode_head='segmentor', cls_head='recognizer', head='classifier'
)


class Recognised(NamedTuple):
    """The source and the kind of model of a state_dict.

    Attributes:
        source: Source that the state_dict comes from.
        layout: Layout of the names of its backbone.
        kind: `backbone`, `classifier`, `detector`, `segmentor`, `recognizer`,
            or `pretraining` for self-supervised methods.
        prefix: Prefix of the backbone's names, such as '' or 'backbone.'.
    """

    source: Source
    layout: Layout
    kind: str
    prefix: str

    def __str__(self) -> str:
        return f'{self.source.name} {self.kind}'


def recognise(
    state_dict: Mapping[str, Any], prefix: str | None = None
) -> Recognised:
    """Recognise the source and the kind of model of a state_dict.

    Args:
        state_dict: Names and tensors, or anything with a shape.
        prefix: Prefix of the wanted backbone's names, for a state_dict that
            holds several backbones.

    Raises:
        ValueError: If no known source has such names, or there are several
            backbones. The message lists the first names, or the prefixes.
    """
    prefix = _choose_prefix(state_dict, prefix)
    backbone = {
        name[len(prefix) :]: value
        for name, value in state_dict.items()
        if name.startswith(prefix)
    }
    beside = frozenset(_beside(state_dict, prefix))
    clues = Clues(family(backbone), backbone, beside, prefix)
    source = _choose_source(clues)
    layout = source.layout(clues.family)
    kind = _kind(state_dict, source, layout, prefix)
    return Recognised(source, layout, kind, prefix)


@cache
def _any_marker(markers: Sequence[str]) -> re.Pattern[str]:
    """Return a pattern of a prefix, then a name that marks a backbone."""
    return re.compile(rf'(?P<prefix>(?:.*\.)?)(?:{"|".join(markers)})$')


def _choose_prefix(state_dict: Mapping[str, Any], prefix: str | None) -> str:
    """Return the prefix of the backbone to take."""
    markers = dict.fromkeys(source.marker for source in known.KNOWN)
    matches = map(_any_marker(tuple(markers)).match, state_dict)
    prefixes = list(dict.fromkeys(m['prefix'] for m in matches if m))
    if not prefixes:
        names = ', '.join(list(state_dict)[:5]) or 'none: it holds no tensors'
        sources = ', '.join(source.name for source in known.KNOWN)
        raise ValueError(
            f'not a Swin in a known format. Its first names: {names}. Known '
            f'are the names of: {sources}; with or without a prefix such as '
            '"backbone.", bare or under "state_dict" or "model"'
        )
    if prefix and prefix not in prefixes:  # the dot may be left out
        prefix = f'{prefix}.' if f'{prefix}.' in prefixes else prefix
    if prefix is None and len(prefixes) > 1:
        is_encoder = set(prefixes) - _COMPANIONS == {'encoder.'}
        prefix = 'encoder.' if is_encoder else None
    elif prefix is None:
        prefix = prefixes[0]
    if prefix is None or prefix not in prefixes:
        problem = (
            'not a checkpoint with one Swin: it holds several'
            if prefix is None
            else f'not a checkpoint with a Swin under {prefix!r}: it holds'
        )
        raise ValueError(
            f'{problem}, their names start with '
            f'{", ".join(map(repr, prefixes))}. Name the one '
            f'you want, in init_cfg as prefix={prefixes[0]!r}, on the command '
            f'line as --prefix {prefixes[0]}'
        )
    return prefix


def _choose_source(clues: Clues) -> Source:
    """Return the source that a backbone comes from."""
    candidates = [
        source
        for source in known.KNOWN
        if any(re.fullmatch(source.marker, name) for name in clues.backbone)
    ]
    for source in candidates:
        if source.is_marked is not None and source.is_marked(clues):
            return source
    return next(source for source in candidates if source.is_marked is None)


def _beside(state_dict: Iterable[str], prefix: str) -> set[str]:
    """Return the first parts of the names next to a backbone."""
    above = prefix_above(prefix)
    return {
        name[len(above) :].split('.')[0]
        for name in state_dict
        if name.startswith(above) and not name.startswith(prefix)
    }


def _kind(
    state_dict: Iterable[str], source: Source, layout: Layout, prefix: str
) -> str:
    """Return the kind of model, by the names in and around its backbone."""
    native_of = native_names(state_dict, layout, prefix)
    others = [name for name in state_dict if name not in native_of]
    beside = _beside(others, prefix)
    natives = set(native_of.values())
    if source.is_pretraining or 'mask_token' in natives:
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
