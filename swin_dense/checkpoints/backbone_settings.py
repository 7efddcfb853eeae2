"""The backbone of this package that a state_dict is for, as a config."""

import re
from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

from swin_dense.checkpoints.adapt import source_windows
from swin_dense.checkpoints.identify import identify
from swin_dense.checkpoints.layouts.translate import BackboneFile
from swin_dense.checkpoints.native import family
from swin_dense.checkpoints.position import EMBEDDING, PATCH
from swin_dense.checkpoints.pretrained_windows import (
    first_per_stage,
    pretrained_windows,
)
from swin_dense.ops.grid import Grid
from swin_dense.registry import MODELS
from swin_dense.sizes import SWIN, SWIN_V2

_TYPES = dict(
    v1='swin_dense.SwinTransformer',
    v2='swin_dense.SwinTransformerV2',
    video='swin_dense.SwinTransformer3D',
)
_EXTRA_NORM = re.compile(r'layers\.\d+\.blocks\.(\d+)\.norm3\.weight$')


def backbone_settings(
    native: Mapping[str, Tensor], window: Sequence[int] | None = None
) -> dict[str, Any]:
    """The arguments of a backbone that takes these weights as they are.

    Besides `arch`, or the sizes of one that has no name, and the window, only
    what is not the default of the class is given.

    Args:
        native: Backbone in native names.
        window: Its window in tokens, where known.

    Returns:
        A config; an empty one if no backbone of this package can be meant.
    """
    kind = family(native)
    sizes = _sizes(native)
    if kind not in _TYPES or not sizes:
        return {}
    patch = native[PATCH]
    settings: dict[str, Any] = {'type': _TYPES[kind]}
    name = _arch(kind, sizes)
    if kind == 'v1' and name is None:
        settings.update(sizes)
    else:
        settings['arch'] = name or sizes
    stages = len(sizes['depths'])
    if stages != 4:
        first = stages - 1 if kind == 'video' else 0
        settings['out_indices'] = tuple(range(first, stages))
    if window:
        square = len(window) == 2 and window[0] == window[1]
        settings['window_size'] = window[0] if square else tuple(window)
    pixels = tuple(patch.shape[2:])
    if pixels != ((2, 4, 4) if kind == 'video' else (4, 4)):
        square = len(set(pixels)) == 1
        settings['patch_size'] = pixels[0] if square else pixels
    if patch.shape[1] != 3:
        settings['in_channels'] = patch.shape[1]
    ratio = len(native['layers.0.blocks.0.mlp.fc1.weight']) / len(patch)
    if ratio != 4:
        settings['mlp_ratio'] = ratio
    attention = 'layers.0.blocks.0.attn.'
    if not {f'{attention}qkv.bias', f'{attention}q_bias'} & set(native):
        settings['qkv_bias'] = False
    if 'patch_embed.norm.weight' not in native:
        settings.update(
            dict(patch_cfg=dict(norm_cfg=None))
            if kind == 'v2'
            else dict(patch_norm=False)
        )
    image = image_size(native)
    if image:
        argument = 'img_size' if kind == 'v2' else 'pretrain_img_size'
        settings.update({'use_abs_pos_embed': True, argument: image})
    return settings


def image_size(native: Mapping[str, Tensor]) -> Grid | None:
    """The size in pixels that an absolute embedding was made for, if any."""
    embedding = native.get(EMBEDDING)
    if embedding is None:
        return None
    side = isqrt(embedding.shape[1])
    # The official dense code has (1, C, h, w).
    grid = tuple(embedding.shape[2:]) if embedding.ndim == 4 else (side, side)
    return tuple(n * p for n, p in zip(grid, native[PATCH].shape[2:]))


def known_windows(
    converted: BackboneFile,
    stored: Mapping[str, Tensor],
    recorded: Mapping[str, Any],
) -> dict[str, Any]:
    """Windows of a file as far as it tells them.

    Often only its buffers do, which other layouts do not keep.

    Args:
        converted: The backbone of the file.
        stored: All tensors of the file under its own names.
        recorded: What the tools of this package wrote into the file.

    Returns:
        `window`: that of the bias tables in tokens, if they have one in
        common; `pretrained_window_sizes`: for each stage of a Swin V2.
    """
    found: dict[str, Any] = {}
    try:
        windows = set(source_windows(converted, stored, recorded).values())
    except ValueError:  # unknown; the tables are copied as they are
        windows = set()
    if len(windows) == 1:
        found['window'] = list(windows.pop())
    trained = pretrained_windows(converted, stored, recorded)
    if trained:
        found['pretrained_window_sizes'] = list(
            map(list, first_per_stage(trained))
        )
    return found


def empty_backbone(settings: Mapping[str, Any]) -> nn.Module:
    """Build the backbone of some settings without memory for its weights."""
    with torch.device('meta'):
        return MODELS.build(dict(settings))


def _sizes(native: Mapping[str, Tensor]) -> dict[str, Any]:
    """Channels, depths and heads; nothing if one is not to be found."""
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
    return sizes


def _arch(kind: str, sizes: Mapping[str, Any]) -> str | None:
    archs = SWIN_V2 if kind == 'v2' else SWIN
    return next(
        (name for name, known in archs.items() if known == sizes), None
    )
