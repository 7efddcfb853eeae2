"""From the names of one source to native ones and back, step by step."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from swin_dense.checkpoints.layouts.layout import Layout
from swin_dense.checkpoints.layouts.tensors import StateDict

# Computed anew by every model from its own window and image size; the last is
# that of a language model.
RECOMPUTED = re.compile(
    r'(^|\.)(relative_position_index|relative_coords_table|attn_mask|'
    r'embeddings\.position_ids)$'
)
FAMILIES = dict(
    v1='Swin', v2='Swin V2', video='Video Swin', mlp='Swin-MLP', moe='Swin-MoE'
)
_STAGE = re.compile(r'layers\.(\d+)\.')


def family(native: Mapping[str, Any]) -> str:
    """Which kind of Swin a backbone in native names is.

    Returns:
        'v1', 'v2', 'video', 'mlp' or 'moe'.
    """
    patch = native.get('patch_embed.proj.weight')
    if patch is not None and len(patch.shape) == 5:
        return 'video'
    if any('.logit_scale' in name for name in native):
        return 'v2'
    if any('.spatial_mlp.' in name for name in native):
        return 'mlp'
    # Their dense baselines have the position bias of Swin-MoE, too.
    moe = any('._moe_layer.' in name or '.cpb_mlp.' in name for name in native)
    return 'moe' if moe else 'v1'


def native_names(
    state_dict: Iterable[str], layout: Layout, prefix: str
) -> dict[str, str]:
    """Native name of each name that belongs to the backbone.

    Args:
        state_dict: All names.
        layout: Of the backbone.
        prefix: Of the backbone. Its classifier may be in it or next to it.
    """
    above = prefix_above(prefix)
    own = {}
    for name in state_dict:
        if name.startswith(prefix):
            own[name] = layout.to_native(name[len(prefix) :])
        for start in (prefix, above):
            rest = name[len(start) :] if name.startswith(start) else ''
            for native, theirs in layout.outside_renames:
                if rest.startswith(theirs):
                    own[name] = native + rest[len(theirs) :]
    if layout.final_norm:
        return renamed(own, 'norm.', last_norm(own.values()))
    return own


def prefix_above(prefix: str) -> str:
    """The prefix of what is next to a backbone."""
    head, dot, _ = prefix[:-1].rpartition('.')
    return head + dot


def decode(
    state_dict: Mapping[str, Tensor], own: Mapping[str, str], layout: Layout
) -> tuple[StateDict, dict[str, str]]:
    """Native tensors, and where they are from.

    Args:
        state_dict: Theirs.
        own: Native name for each of their names that counts.
        layout: Theirs.
    """
    origin: dict[str, str] = {}
    for theirs, native in own.items():
        if origin.setdefault(native, theirs) != theirs:
            raise ValueError(
                f'a {layout.name} checkpoint with {origin[native]} and '
                f'{theirs}, which both stand for {native}: leave one out'
            )
    weights = {native: state_dict[name] for native, name in origin.items()}
    for change in layout.to_native_values:
        weights = change(weights)
    return weights, {k: v for k, v in origin.items() if k in weights}


def encode(weights: StateDict, layout: Layout, prefix: str) -> StateDict:
    """Their names and tensors of native ones."""
    for change in layout.from_native_values:
        weights = change(weights)
    result = {}
    for name, value in weights.items():
        for native, theirs in layout.outside_renames:
            if name.startswith(native):
                name = theirs + name[len(native) :]
                break
        else:
            name = prefix + layout.from_native(name)
        result[name] = value
    return result


def last_norm(natives: Iterable[str]) -> str:
    """Start of the names of the norm of the last output."""
    stages = [int(m[1]) for m in map(_STAGE.match, natives) if m]
    return f'norm{max(stages, default=0)}.'


def renamed(own: Mapping[str, str], old: str, new: str) -> dict[str, str]:
    """The values that start with `old` start with `new`."""
    return {
        key: new + name[len(old) :] if name.startswith(old) else name
        for key, name in own.items()
    }
