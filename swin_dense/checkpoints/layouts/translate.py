"""Read the backbone of a checkpoint of any source, in native names.

All functions are pure: dictionaries in, dictionaries and records out.
"""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from swin_dense.checkpoints.files.metadata import metadata_of
from swin_dense.checkpoints.layouts.export import target_names
from swin_dense.checkpoints.layouts.recognise import Recognised, recognise
from swin_dense.checkpoints.layouts.tensors import StateDict
from swin_dense.checkpoints.native import (
    RECOMPUTED,
    decode,
    encode,
    last_norm,
    native_names,
    replace_prefix,
)

# Keys of averaged weights (EMA) beside the raw ones, in checkpoints of timm
# and in Microsoft's style. mmengine's `ema_state_dict` holds raw weights.
AVERAGED = ('state_dict_ema', 'model_ema')
_LORA = re.compile(r'(^|[._])lora_|\.lora\.')
_DROPPED = re.compile(r'norm\.|head\.|mask_token$')
# Native names of the norm and head of a classifier, for `keep`.
CLASSIFIER = ('norm.weight', 'norm.bias', 'head.weight', 'head.bias')


class _Everything:
    """A container of all names."""

    def __contains__(self, name: object) -> bool:
        return True


EVERYTHING = _Everything()


@dataclass(frozen=True)
class BackboneFile:
    """The backbone in a checkpoint, and all that the checkpoint says of it.

    Attributes:
        weights: State_dict of the backbone in native names.
        origin: Name in the checkpoint of each native name, except for tensors
            that are made of several.
        dropped: Names in the checkpoint that a rule leaves out: buffers that
            are recomputed, the norm and head of a classifier, the mask token
            of pretraining, everything outside of the backbone.
        recognised: Source, kind of model and prefix.
        stored: All tensors of the checkpoint under its own names. Buffers
            among them imply windows.
        recorded: Metadata that `write_checkpoint` recorded.
    """

    weights: StateDict
    origin: dict[str, str]
    dropped: list[str]
    recognised: Recognised
    stored: StateDict
    recorded: dict[str, Any]


def extract_state_dict(
    checkpoint: Mapping[str, Any], weights: str | None = None
) -> StateDict:
    """Return the state_dict inside a checkpoint.

    It is looked for under `state_dict` (OpenMMLab) and `model` (Microsoft),
    then under the keys of averaged weights; else the checkpoint itself is the
    state_dict. The prefix `module.` of data parallel models is removed.
    Entries that are no tensors are left out.

    Args:
        checkpoint: Checkpoint as `read_checkpoint` returns it.
        weights: Key of the state_dict to take instead, such as
            `state_dict_ema`.

    Raises:
        ValueError: If the checkpoint has no dictionary under `weights`.
    """
    key = weights or _weights_key(checkpoint)
    inner: Any = checkpoint if key is None else checkpoint.get(key)
    if not isinstance(inner, Mapping):
        keys = [k for k, v in checkpoint.items() if isinstance(v, Mapping)]
        raise ValueError(f'a checkpoint without {key!r}: it holds {keys}')
    state_dict = {k: v for k, v in inner.items() if torch.is_tensor(v)}
    if state_dict and all(k.startswith('module.') for k in state_dict):
        state_dict = {k[len('module.') :]: v for k, v in state_dict.items()}
    return state_dict


def _weights_key(checkpoint: Mapping[str, Any]) -> str | None:
    """Return the key of the weights; None if there is no wrapper."""
    for key in ('state_dict', 'model', *AVERAGED):
        if isinstance(checkpoint.get(key), Mapping):
            return key
    return None


def describe_choice(checkpoint: Mapping[str, Any]) -> str:
    """Describe which weights are taken if there are averaged ones, too.

    Returns:
        A sentence; '' if the checkpoint has no second set of weights.
    """
    chosen = _weights_key(checkpoint)
    averaged = [
        key
        for key in AVERAGED
        if key != chosen and isinstance(checkpoint.get(key), Mapping)
    ]
    if not averaged:
        return ''
    return (
        f'the weights under {chosen!r} are taken; the file also holds '
        f'{averaged[0]!r}, averaged over the training (EMA). '
        'swin-dense convert SRC DST --to official --weights '
        f'{averaged[0]} writes a file of these'
    )


def lora_problem(
    state_dict: Mapping[str, Any], known: Container[str] = ()
) -> str | None:
    """Describe the problem if a state_dict has unmerged LoRA updates.

    Args:
        state_dict: State_dict of a checkpoint.
        known: Parameter names of a model, which may have such updates itself.

    Returns:
        Text to follow "FILE is", or None if there are no updates.
    """
    updates = [n for n in state_dict if _LORA.search(n) and n not in known]
    if not updates:
        return None
    return (
        f'an unmerged LoRA checkpoint: {len(updates)} tensors such as '
        f'{updates[0]!r} are low-rank updates of others. Merge it first: '
        'load it with the library that trained it, add the updates to the '
        'weights (merge_and_unload() in PEFT), and save the model'
    )


def read_backbone(
    checkpoint: Mapping[str, Any],
    keep: Container[str] = (),
    prefix: str | None = None,
    weights: str | None = None,
) -> BackboneFile:
    """Return the backbone of a checkpoint in native names.

    Args:
        checkpoint: Checkpoint or state_dict of any known source.
        keep: Native names that no rule drops, such as `CLASSIFIER` or
            `EVERYTHING`. Tensors outside of the backbone are dropped anyway.
        prefix: Prefix of the backbone's names, see `recognise`.
        weights: Key of the state_dict, see `extract_state_dict`.

    Raises:
        ValueError: If the source is not known, there are several backbones,
            or two names in the checkpoint stand for the same tensor.
    """
    stored = extract_state_dict(checkpoint, weights)
    problem = lora_problem(stored)
    if problem:
        raise ValueError(problem)
    recognised = recognise(stored, prefix)
    source, layout, kind, prefix = recognised
    native_of = native_names(stored, layout, prefix)
    if kind == 'classifier' and layout.numbers_classifier_norm:
        last = last_norm(native_of.values())
        native_of = replace_prefix(native_of, last, 'norm.')
    native, origin = decode(stored, native_of, layout, source.name)

    def is_kept(name: str) -> bool:
        return name in keep or not (
            RECOMPUTED.search(name) or _DROPPED.match(name)
        )

    return BackboneFile(
        weights={k: v for k, v in native.items() if is_kept(k)},
        origin=origin,
        dropped=[
            name
            for name in stored
            if name not in native_of or not is_kept(native_of[name])
        ],
        recognised=recognised,
        stored=stored,
        recorded=metadata_of(checkpoint),
    )


def rename_backbone(
    state_dict: Mapping[str, Tensor], model_state: Mapping[str, Any]
) -> tuple[StateDict, str]:
    """Give the backbone of a whole model the names that another model uses.

    Args:
        state_dict: State_dict of a whole model.
        model_state: State_dict of the model to load it into.

    Returns:
        The state_dict with names and values of the backbone as in the model,
        and a description of its source. The state_dict is unchanged if either
        has no Swin, or if their backbones have different prefixes.
    """
    try:
        in_file = recognise(state_dict)
    except ValueError:
        return dict(state_dict), 'no Swin'
    try:
        in_model = recognise(model_state)
    except ValueError:
        return dict(state_dict), str(in_file)
    same_names = in_file[:2] == in_model[:2]  # source and layout
    if same_names or in_file.prefix != in_model.prefix:
        return dict(state_dict), str(in_file)
    prefix, layout = in_file.prefix, in_file.layout
    native_of = native_names(
        (name for name in state_dict if name.startswith(prefix)),
        replace(layout, outside_renames=()),
        prefix,
    )
    native, _ = decode(state_dict, native_of, layout, in_file.source.name)
    names = target_names(native, in_model.layout)
    renamed = encode(
        {names[name]: native[name] for name in native},
        replace(in_model.layout, outside_renames=()),
        prefix,
    )
    rest = {k: v for k, v in state_dict.items() if k not in native_of}
    return {**renamed, **rest}, str(in_file)
