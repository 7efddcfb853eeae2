"""The backbone of this package that a state_dict is for, as a config."""
import re
from collections import Counter
from math import isqrt
from typing import Any, Mapping, Optional, Sequence

import torch
from torch import Tensor, nn

from swin_dense.checkpoints.formats import family
from swin_dense.registry import MODELS

Grid = tuple[int, ...]

_TYPES = dict(
    v1='swin_dense.SwinTransformer',
    v2='swin_dense.SwinTransformerV2',
    video='swin_dense.SwinTransformer3D')
_BLOCK = re.compile(r'layers\.(\d+)\.blocks\.(\d+)\.norm1\.weight$')
_SIZES = ('embed_dims', 'depths', 'num_heads')


def backbone_settings(
        native: Mapping[str, Tensor],
        window: Optional[Sequence[int]] = None) -> dict[str, Any]:
    """The arguments of a backbone that takes these weights as they are.

    Only what is not the default of the class is given, besides `arch`, or the
    sizes of one that has no name, and the window.

    Args:
        native: Backbone in native names.
        window: Its window in tokens, where known.

    Returns:
        A config; an empty one if no backbone of this package can be meant.
    """
    patch = native.get('patch_embed.proj.weight')
    blocks = Counter(m[1] for m in map(_BLOCK.match, native) if m)
    kind = _TYPES.get(family(native)) if patch is not None else None
    heads = [_heads(native, stage) for stage in range(len(blocks))]
    if kind is None or patch is None or not blocks or None in heads:
        return {}
    settings: dict[str, Any] = {'type': kind}
    depths = tuple(blocks[stage] for stage in sorted(blocks, key=int))
    sizes = dict(zip(_SIZES, (len(patch), depths, tuple(heads))))
    name = _arch(sizes)
    if name:
        settings['arch'] = name
    elif 'video' == family(native):
        settings['arch'] = sizes
    else:
        settings.update(sizes)
    if window:
        square = len(window) == 2 and window[0] == window[1]
        settings['window_size'] = window[0] if square else tuple(window)
    size = tuple(patch.shape[2:])
    if size != ((4, 4) if patch.ndim == 4 else (2, 4, 4)):
        settings['patch_size'] = size
    if patch.shape[1] != 3:
        settings['in_channels'] = patch.shape[1]
    ratio = len(native['layers.0.blocks.0.mlp.fc1.weight']) / len(patch)
    if ratio != 4:
        settings['mlp_ratio'] = ratio
    attention = 'layers.0.blocks.0.attn.'
    if not {f'{attention}qkv.bias', f'{attention}q_bias'} & set(native):
        settings['qkv_bias'] = False
    if 'patch_embed.norm.weight' not in native:
        settings['patch_norm'] = False
    embedding = native.get('absolute_pos_embed')
    if embedding is not None:
        settings['use_abs_pos_embed'] = True
        settings['pretrain_img_size'] = tuple(
            side * pixels for side, pixels in zip(_grid(embedding), size))
    return settings


def empty_backbone(settings: Mapping[str, Any]) -> nn.Module:
    """Build the backbone of some settings without memory for its weights."""
    with torch.device('meta'):
        return MODELS.build(dict(settings))


def _heads(native: Mapping[str, Tensor], stage: int) -> Optional[int]:
    path = f'layers.{stage}.blocks.0.attn.'
    table = native.get(f'{path}relative_position_bias_table')
    scale = native.get(f'{path}logit_scale')
    if table is not None:
        return table.shape[-1]
    return None if scale is None else len(scale)


def _arch(sizes: Mapping[str, Any]) -> Optional[str]:
    # The classes import the loader, when they load.
    from swin_dense.backbones.swin import ARCHS
    for name, known in ARCHS.items():
        if all(known[key] == sizes[key] for key in _SIZES):
            return name
    return None


def _grid(embedding: Tensor) -> Grid:
    if embedding.ndim == 4:  # of the official dense code
        return tuple(embedding.shape[2:])
    side = isqrt(embedding.shape[1])
    return side, side
