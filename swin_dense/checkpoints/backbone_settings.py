"""Derive from weights the config of the backbone that they are for."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from swin_dense.checkpoints.adapt import source_windows
from swin_dense.checkpoints.identify import identify
from swin_dense.checkpoints.layouts.translate import BackboneFile
from swin_dense.checkpoints.native import INFLATED_FROM, family
from swin_dense.checkpoints.position import EMBEDDING, PATCH, embedding_grid
from swin_dense.checkpoints.pretrained_windows import (
    first_per_stage,
    pretrained_windows,
)
from swin_dense.ops.grid import Grid
from swin_dense.registry import MODELS
from swin_dense.sizes import MINI_SWIN, SWIN, SWIN_MLP, SWIN_MOE, SWIN_V2

_TYPES = dict(
    v1='swin_dense.SwinTransformer',
    v2='swin_dense.SwinTransformerV2',
    video='swin_dense.SwinTransformer3D',
    video_v2='swin_dense.SwinTransformerV2_3D',
    mini='swin_dense.MiniSwin',
    mlp='swin_dense.SwinMLP',
    moe='swin_dense.SwinMoE',
)
_ARCHS = dict(
    v1=SWIN,
    v2=SWIN_V2,
    video=SWIN,
    video_v2=SWIN_V2,
    mini=MINI_SWIN,
    mlp=SWIN_MLP,
    moe=SWIN_MOE,
)
_MULTIPLEXED = re.compile(r'layers\.(\d+)\.blocks\.(\d+)\.norm1_list\.')
_EXPERTS = re.compile(
    r'layers\.(\d+)\.blocks\.(\d+)\.mlp\._moe_layer\.experts\.'
    r'batched_fc1_w$'
)
_EXTRA_NORM = re.compile(r'layers\.\d+\.blocks\.(\d+)\.norm3\.weight$')


def backbone_settings(
    native: Mapping[str, Tensor], window: Sequence[int] | None = None
) -> dict[str, Any]:
    """Return the config of a backbone that takes these weights unchanged.

    It holds `arch`, or the sizes if no published size fits, the window, and
    the arguments whose value is not the default of the class.

    Args:
        native: Backbone in native names.
        window: Window in tokens per axis, if known.

    Returns:
        A config; {} if this package has no such backbone.
    """
    member = family(native)
    sizes = _sizes(native)
    if member not in _TYPES or not sizes:
        return {}
    patch = native[PATCH]
    settings: dict[str, Any] = {'type': _TYPES[member]}
    name = _arch(member, sizes)
    if member == 'v1' and name is None:
        settings.update(sizes)
    else:
        settings['arch'] = name or sizes
    stages = len(sizes['depths'])
    if stages != 4:
        first = stages - 1 if member in INFLATED_FROM else 0
        settings['out_indices'] = tuple(range(first, stages))
    if window:
        square = len(window) == 2 and window[0] == window[1]
        settings['window_size'] = window[0] if square else tuple(window)
    pixels = tuple(patch.shape[2:])
    if pixels != ((2, 4, 4) if member in INFLATED_FROM else (4, 4)):
        square = len(set(pixels)) == 1
        settings['patch_size'] = pixels[0] if square else pixels
    if patch.shape[1] != 3:
        settings['in_channels'] = patch.shape[1]
    hidden = native.get('layers.0.blocks.0.mlp.fc1.weight')
    if hidden is not None and len(hidden) != 4 * len(patch):
        settings['mlp_ratio'] = len(hidden) / len(patch)
    attention = 'layers.0.blocks.0.attn.'
    if member != 'mlp' and not {
        f'{attention}qkv.bias',
        f'{attention}q_bias',
    } & set(native):
        settings['qkv_bias'] = False
    if member == 'moe':
        settings.update(_expert_settings(native, sizes['depths']))
    if 'patch_embed.norm.weight' not in native:
        settings.update(
            dict(patch_cfg=dict(norm_cfg=None))
            if member == 'v2'
            else dict(patch_norm=False)
        )
    image = image_size(native)
    if image:
        argument = 'img_size' if member == 'v2' else 'pretrain_img_size'
        settings.update({'use_abs_pos_embed': True, argument: image})
    return settings


def _expert_settings(
    native: Mapping[str, Tensor], depths: Sequence[int]
) -> dict[str, Any]:
    """Return the arguments of Swin-MoE that are about experts.

    What weights do not show, such as `top_value`, is left out.
    """
    settings: dict[str, Any] = dict(num_experts=0)
    blocks: list[list[int]] = [[] for _ in depths]
    for name, value in native.items():
        match = _EXPERTS.match(name)
        if match:
            settings['num_experts'] = len(value)
            blocks[int(match[1])].append(int(match[2]))
        elif name.endswith('.cosine_projector.weight'):
            settings['cosine_router'] = True
            if len(value) != 256:
                settings['cosine_router_dim'] = len(value)
        elif name.endswith('.mlp.fc2.bias'):
            settings['mlp_fc2_bias'] = True
    first = len(depths) - 2
    usual = [
        list(range(1, depth, 2)) if stage >= first else []
        for stage, depth in enumerate(depths)
    ]
    if any(blocks) and blocks != usual:
        settings['moe_blocks'] = blocks
    return settings


def image_size(native: Mapping[str, Tensor]) -> Grid | None:
    """Return the image size that an absolute embedding was made for.

    Returns:
        (height, width) in pixels; None if there is no such embedding.
    """
    embedding = native.get(EMBEDDING)
    if embedding is None:
        return None
    grid = embedding_grid(embedding)
    return tuple(n * p for n, p in zip(grid, native[PATCH].shape[2:]))


def known_windows(file: BackboneFile) -> dict[str, Any]:
    """Return the windows of a checkpoint that it records or implies.

    Often only its buffers imply them, which other layouts do not keep.

    Args:
        file: Backbone of the checkpoint.

    Returns:
        `window`: window of the bias tables in tokens per axis, if all have
        the same; `pretrained_window_sizes`: a window for each stage of a Swin
        V2. Keys of unknown windows are left out.
    """
    known: dict[str, Any] = {}
    try:
        windows = set(source_windows(file).values())
    except ValueError:  # unknown; the tables are copied as they are
        windows = set()
    if len(windows) == 1:
        known['window'] = list(windows.pop())
    elif family(file.weights) == 'mlp':
        known.update(_mixed_window(file))
    pretrained = pretrained_windows(file)
    if pretrained:
        known['pretrained_window_sizes'] = list(
            map(list, first_per_stage(pretrained))
        )
    return known


def _mixed_window(file: BackboneFile) -> dict[str, Any]:
    """Return the window whose tokens a Swin-MLP mixes, if it is known."""
    variant = identify(file.weights)
    window = file.recorded.get('window') or (variant and variant.window)
    return {'window': list(window)} if window else {}


def empty_backbone(settings: Mapping[str, Any]) -> nn.Module:
    """Build a backbone on the meta device, without memory for weights."""
    with torch.device('meta'):
        return MODELS.build(dict(settings))


def _sizes(native: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return channels, depths and heads; {} if one of them is unknown."""
    variant = identify(native)
    if variant is None or len(variant.num_heads) < len(variant.depths):
        return {}
    sizes: dict[str, Any] = dict(
        embed_dims=variant.embed_dims,
        depths=variant.depths,
        num_heads=variant.num_heads,
    )
    extra = [int(m[1]) + 1 for m in map(_EXTRA_NORM.match, native) if m]
    if extra:
        sizes['extra_norm_every_n_blocks'] = min(extra)
    if family(native) == 'mini':
        blocks = {m.groups() for m in map(_MULTIPLEXED.match, native) if m}
        counts = Counter(stage for stage, _ in blocks)
        sizes['blocks'] = tuple(counts[k] for k in sorted(counts, key=int))
    return sizes


def _arch(member: str, sizes: Mapping[str, Any]) -> str | None:
    """Return the name of a published size, or None."""
    for name, known in _ARCHS[member].items():
        if {k: v for k, v in known.items() if k != 'window_size'} == sizes:
            return name
    return None
