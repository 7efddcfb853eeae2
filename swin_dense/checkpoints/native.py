"""Native parameter names, and the translation of source names to them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from swin_dense.checkpoints.layouts.layout import Layout
from swin_dense.checkpoints.layouts.tensors import StateDict

# Buffers that every model computes from its own window, image size and number
# of experts. The last one is of a language model.
RECOMPUTED = re.compile(
    r'(^|\.)(relative_position_index|relative_coords_table|attn_mask|'
    r'_num_global_experts|embeddings\.position_ids)$'
)
FAMILIES = dict(
    v1='Swin',
    v2='Swin V2',
    video='Video Swin',
    video_v2='Video Swin V2',
    mini='Mini-Swin',
    mlp='Swin-MLP',
    moe='Swin-MoE',
)
# Members for clips, and the member for images that each is inflated from.
INFLATED_FROM = dict(video='v1', video_v2='v2')
_STAGE = re.compile(r'layers\.(\d+)\.')
_OUTPUT_NORM = re.compile(r'norm\d+\.')


def family(native: Mapping[str, Any]) -> str:
    """Return which member of the family a backbone is.

    Args:
        native: Backbone in native names. The names of other sources differ in
            ways that do not matter here.

    Returns:
        'v1', 'v2', 'video', 'video_v2', 'mini', 'mlp' or 'moe'.
    """
    patch = native.get('patch_embed.proj.weight')
    takes_clips = patch is not None and len(patch.shape) == 5
    if any('.logit_scale' in name for name in native):
        return 'video_v2' if takes_clips else 'v2'
    if takes_clips:
        return 'video'
    if any('.spatial_mlp.' in name for name in native):
        return 'mlp'
    if any('.local_conv_list.' in name for name in native):
        return 'mini'
    # The dense baselines of Swin-MoE have its position bias, too.
    is_moe = any(
        '._moe_layer.' in name or '.cpb_mlp.' in name for name in native
    )
    return 'moe' if is_moe else 'v1'


def is_output_norm(name: str) -> bool:
    """Return True if a native name belongs to the norm of an output."""
    return _OUTPUT_NORM.match(name) is not None


def native_names(
    state_dict: Iterable[str], layout: Layout, prefix: str
) -> dict[str, str]:
    """Return the native name of each name that belongs to the backbone.

    Args:
        state_dict: All names of a checkpoint.
        layout: Layout of the backbone.
        prefix: Prefix of the backbone's names. The head of a classifier may
            be inside or next to the backbone.
    """
    above = prefix_above(prefix)
    native_of = {}
    for name in state_dict:
        if name.startswith(prefix):
            native_of[name] = layout.to_native(name[len(prefix) :])
        for start in (prefix, above):
            rest = name[len(start) :] if name.startswith(start) else ''
            for native, source in layout.outside_renames:
                if rest.startswith(source):
                    native_of[name] = native + rest[len(source) :]
    if layout.final_norm:
        return replace_prefix(
            native_of, 'norm.', last_norm(native_of.values())
        )
    return native_of


def prefix_above(prefix: str) -> str:
    """Return the prefix of the module that contains the backbone."""
    head, dot, _ = prefix[:-1].rpartition('.')
    return head + dot


def decode(
    state_dict: Mapping[str, Tensor],
    native_of: Mapping[str, str],
    layout: Layout,
    source: str,
) -> tuple[StateDict, dict[str, str]]:
    """Return the tensors of a backbone under native names.

    Args:
        state_dict: State_dict of a checkpoint.
        native_of: Native name of each name that belongs to the backbone.
        layout: Layout of the backbone.
        source: Name of the source, for the error.

    Returns:
        The native state_dict, and the name in the checkpoint of each native
        name, except for tensors that are made of several.

    Raises:
        ValueError: If two names stand for the same tensor.
    """
    origin: dict[str, str] = {}
    for name, native in native_of.items():
        if origin.setdefault(native, name) != name:
            raise ValueError(
                f'a {source} checkpoint with {origin[native]} and '
                f'{name}, which both stand for {native}: leave one out'
            )
    weights = {native: state_dict[name] for native, name in origin.items()}
    for change in layout.to_native_values:
        weights = change(weights)
    return weights, {k: v for k, v in origin.items() if k in weights}


def encode(weights: StateDict, layout: Layout, prefix: str) -> StateDict:
    """Return native tensors under the names of a layout.

    Args:
        weights: Backbone in native names.
        layout: Layout of the target.
        prefix: Prefix for the names of the backbone.
    """
    for change in layout.from_native_values:
        weights = change(weights)
    result = {}
    for name, value in weights.items():
        for native, source in layout.outside_renames:
            if name.startswith(native):
                name = source + name[len(native) :]
                break
        else:
            name = prefix + layout.from_native(name)
        result[name] = value
    return result


def last_norm(natives: Iterable[str]) -> str:
    """Return the prefix of the last output's norm, such as 'norm3.'."""
    stages = [int(m[1]) for m in map(_STAGE.match, natives) if m]
    return f'norm{max(stages, default=0)}.'


def replace_prefix(
    names: Mapping[str, str], old: str, new: str
) -> dict[str, str]:
    """Return a mapping whose values start with `new` instead of `old`."""
    return {
        key: new + name[len(old) :] if name.startswith(old) else name
        for key, name in names.items()
    }
