"""Backbones of any source in native names, and back.

All functions are pure: dictionaries in, dictionaries out. `known` has
the names, `tensors` the differences in tensors, `recognise` tells who uses
which.
"""

import re
from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from swin_dense.checkpoints.layouts import known as names
from swin_dense.checkpoints.layouts.recognise import (
    Source,
    recognise,
)
from swin_dense.checkpoints.layouts.targets import (
    export,
    target_names,
)
from swin_dense.checkpoints.layouts.tensors import StateDict
from swin_dense.checkpoints.native import (
    RECOMPUTED,
    decode,
    encode,
    last_norm,
    native_names,
    renamed,
)

# Names of averaged weights (EMA) beside the raw ones, in files of timm and of
# Microsoft's style. mmengine's `ema_state_dict` is the raw weights.
AVERAGED = ('state_dict_ema', 'model_ema')
_LORA = re.compile(r'(^|[._])lora_|\.lora\.')
_LEFT_OUT = re.compile(r'norm\.|head\.|mask_token$')
# A classifier's own norm and head, for `keep`.
CLASSIFIER = ('norm.weight', 'norm.bias', 'head.weight', 'head.bias')


class _Everything:
    """A container of all names."""

    def __contains__(self, name: object) -> bool:
        return True


EVERYTHING = _Everything()


class BackboneFile(NamedTuple):
    """A backbone in native names.

    Attributes:
        state_dict: Native names and values.
        origin: The source's name for each native one, except for those made
            of several.
        dropped: The source's names that were left out by rule: buffers that
            are recomputed, the classifier's own head and norm, the mask token
            of pretraining, everything outside the backbone.
        source: What the source is.
    """

    state_dict: StateDict
    origin: dict[str, str]
    dropped: list[str]
    source: Source


def extract_state_dict(
    checkpoint: Mapping[str, Any], weights: str | None = None
) -> StateDict:
    """Return the state_dict inside a checkpoint, without wrappers' prefixes.

    Looks under `state_dict` (OpenMMLab) and `model` (Microsoft), then for
    averaged weights; a bare state_dict is taken as it is. The prefix `module.`
    of data parallel models goes; what is no tensor goes.

    Args:
        checkpoint: As `read_checkpoint` returns it.
        weights: Where to look instead, such as `state_dict_ema`.

    Raises:
        ValueError: If there is nothing by the name `weights`.
    """
    key = weights or _weights_key(checkpoint)
    inner: Any = checkpoint if key is None else checkpoint.get(key)
    if not isinstance(inner, Mapping):
        found = [k for k, v in checkpoint.items() if isinstance(v, Mapping)]
        raise ValueError(f'a checkpoint without {key!r}: it holds {found}')
    state_dict = {k: v for k, v in inner.items() if torch.is_tensor(v)}
    if state_dict and all(k.startswith('module.') for k in state_dict):
        state_dict = {k[len('module.') :]: v for k, v in state_dict.items()}
    return state_dict


def _weights_key(checkpoint: Mapping[str, Any]) -> str | None:
    """Return where a checkpoint has its weights; None for a state_dict."""
    for key in ('state_dict', 'model', *AVERAGED):
        if isinstance(checkpoint.get(key), Mapping):
            return key
    return None


def describe_choice(checkpoint: Mapping[str, Any]) -> str:
    """Say which weights `extract_state_dict` takes where there are averaged
    ones, too.
    """
    taken = _weights_key(checkpoint)
    others = [
        key
        for key in AVERAGED
        if key != taken and isinstance(checkpoint.get(key), Mapping)
    ]
    if not others:
        return ''
    return (
        f'the weights under {taken!r} are taken; the file also holds '
        f'{others[0]!r}, averaged over the training (EMA). '
        'tools/convert_checkpoint.py SRC DST --to official --weights '
        f'{others[0]} writes a file of these'
    )


def lora_problem(
    state_dict: Mapping[str, Any], known: Container[str] = ()
) -> str | None:
    """Say that a state_dict has low-rank updates beside its weights (LoRA).

    Args:
        state_dict: Of a file.
        known: Names of a model, which may have such parameters itself.

    Returns:
        A phrase to follow "is", or None.
    """
    names_ = [n for n in state_dict if _LORA.search(n) and n not in known]
    if not names_:
        return None
    return (
        f'an unmerged LoRA checkpoint: {len(names_)} tensors such as '
        f'{names_[0]!r} are low-rank updates of others. Merge it first: '
        'load it with the library that trained it, add the updates to the '
        'weights (merge_and_unload() in PEFT), and save the model'
    )


def convert(
    state_dict: StateDict, keep: Container[str] = (), prefix: str | None = None
) -> BackboneFile:
    """Take the backbone out of a state_dict, in native names.

    Args:
        state_dict: Of any known format, see `extract_state_dict`.
        keep: Native names that are not dropped by rule, such as `CLASSIFIER`
            or `EVERYTHING`. What is outside the backbone goes anyway.
        prefix: See `recognise`.

    Raises:
        ValueError: If the format is not known, there are several backbones,
            or two names stand for one tensor.
    """
    problem = lora_problem(state_dict)
    if problem:
        raise ValueError(problem)
    source = recognise(state_dict, prefix)
    layout = source.layout
    own = native_names(state_dict, layout, source.prefix)
    if source.kind == 'classifier' and layout in names.BY_MMPRETRAIN:
        own = renamed(own, last_norm(own.values()), 'norm.')
    weights, origin = decode(state_dict, own, layout)
    result = BackboneFile({}, origin, [], source)
    for name, value in weights.items():
        if name in keep or not _is_dropped(name):
            result.state_dict[name] = value
    result.dropped.extend(
        theirs
        for theirs in state_dict
        if theirs not in own
        or own[theirs] not in keep
        and _is_dropped(own[theirs])
    )
    return result


def to_native(state_dict: StateDict) -> tuple[StateDict, str]:
    """The backbone of a state_dict in native names, and the format's name.

    Raises:
        ValueError: If the format is not known.
    """
    converted = convert(state_dict)
    return converted.state_dict, str(converted.source)


def to_mmdet(state_dict: Mapping[str, Tensor]) -> StateDict:
    """A native backbone in the names of mmdet and mmseg."""
    return export(state_dict, 'mmdet')


def rename_backbone(
    state_dict: Mapping[str, Tensor], own: Mapping[str, Any]
) -> tuple[StateDict, str]:
    """Give the backbone inside a whole model the names of another one.

    Args:
        state_dict: Of a whole model.
        own: State_dict of the model that is to take it.

    Returns:
        The state_dict with the backbone's names and values as in `own`, and
        the format's name. Nothing changes where one of the two is no Swin, or
        their backbones do not sit at the same place.
    """
    try:
        source = recognise(state_dict)
    except ValueError:
        return dict(state_dict), 'no Swin'
    try:
        target = recognise(own)
    except ValueError:
        return dict(state_dict), str(source)
    if source.layout is target.layout or source.prefix != target.prefix:
        return dict(state_dict), str(source)
    prefix = source.prefix
    inside = native_names(
        (name for name in state_dict if name.startswith(prefix)),
        replace(source.layout, outside_renames=()),
        prefix,
    )
    weights, _ = decode(state_dict, inside, source.layout)
    theirs = target_names(weights, target.layout)
    ours = encode(
        {theirs[name]: weights[name] for name in weights},
        replace(target.layout, outside_renames=()),
        prefix,
    )
    rest = {k: v for k, v in state_dict.items() if k not in inside}
    return {**ours, **rest}, str(source)


def _is_dropped(native: str) -> bool:
    """Whether a rule leaves this native name out of a backbone."""
    return bool(RECOMPUTED.search(native) or _LEFT_OUT.match(native))
