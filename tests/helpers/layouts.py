"""Shapes of all published members of the family, under official names."""

from typing import NamedTuple

import torch

FAMILIES = ('v1', 'v2', 'video', 'mlp', 'moe')
_TINY, _SMALL = (2, 2, 6, 2), (2, 2, 18, 2)


class Model(NamedTuple):
    """A published model; its channels are divided by `scale`."""

    family: str
    width: int
    depths: tuple
    heads: tuple
    window: tuple
    extra_norm: bool = False
    scale: int = 1


def _doubled(heads):
    return tuple(heads * 2**stage for stage in range(4))


PUBLISHED = {
    'Swin-T': Model('v1', 96, _TINY, _doubled(3), (7, 7)),
    'Swin-S': Model('v1', 96, _SMALL, _doubled(3), (7, 7)),
    'Swin-B': Model('v1', 128, _SMALL, _doubled(4), (12, 12)),
    'Swin-L': Model('v1', 192, _SMALL, _doubled(6), (7, 7)),
    'Swin-T/C24': Model('v1', 96, _TINY, _doubled(4), (8, 8)),
    'Swin V2-T': Model('v2', 96, _TINY, _doubled(3), (8, 8)),
    'Swin V2-S': Model('v2', 96, _SMALL, _doubled(3), (16, 16)),
    'Swin V2-B': Model('v2', 128, _SMALL, _doubled(4), (16, 16)),
    'Swin V2-L': Model('v2', 192, _SMALL, _doubled(6), (12, 12)),
    'Swin V2-H': Model(
        'v2', 352, _SMALL, _doubled(8), (7, 7), extra_norm=True
    ),
    'Swin V2-g': Model('v2', 448, _SMALL, _doubled(14), (7, 7)),
    'Swin V2-G': Model(
        'v2', 512, (2, 2, 42, 4), _doubled(16), (7, 7), extra_norm=True
    ),
    'Video Swin-T': Model('video', 96, _TINY, _doubled(3), (8, 7, 7)),
    'Video Swin-S': Model('video', 96, _SMALL, _doubled(3), (8, 7, 7)),
    'Video Swin-B': Model('video', 128, _SMALL, _doubled(4), (16, 7, 7)),
    'Video Swin-L': Model('video', 192, _SMALL, _doubled(6), (8, 12, 12)),
    'Swin-MLP-T/C24': Model('mlp', 96, _TINY, _doubled(4), (8, 8)),
    'Swin-MLP-T/C12': Model('mlp', 96, _TINY, _doubled(8), (8, 8)),
    'Swin-MLP-T/C6': Model('mlp', 96, _TINY, _doubled(16), (8, 8)),
    'Swin-MLP-B': Model('mlp', 128, _SMALL, _doubled(4), (7, 7)),
    'Swin-MoE-S': Model('moe', 96, _SMALL, _doubled(3), (12, 12)),
    'Swin-MoE-B': Model('moe', 128, _SMALL, _doubled(4), (12, 12)),
}


def shapes(model, buffers=False, norms=(), classes=0):
    """Return the shapes of a backbone, as tensors on the meta device.

    Args:
        model: A value of `PUBLISHED`.
        buffers: If true, buffers computed from the window are included.
        norms: Numbers of the outputs that have a norm.
        classes: Number of classes; if not 0, a classifier's norm and head
            are included.
    """
    sizes = _embedding(model)
    last = model.width * 8 // model.scale
    for stage, depth in enumerate(model.depths):
        c = model.width * 2**stage // model.scale
        for block in range(depth):
            path = f'layers.{stage}.blocks.{block}.'
            for name, size in _block(model, stage, block, c, buffers):
                sizes[path + name] = size
        if stage < 3:
            path = f'layers.{stage}.downsample.'
            sizes[f'{path}reduction.weight'] = (2 * c, 4 * c)
            sizes.update(
                _norm(f'{path}norm', (2 if model.family == 'v2' else 4) * c)
            )
        if stage in norms:
            sizes.update(_norm(f'norm{stage}', c))
    if classes:
        sizes.update(_norm('norm', last))
        sizes.update({'head.weight': (classes, last), 'head.bias': (classes,)})
    return {
        name: torch.empty(size, device='meta') for name, size in sizes.items()
    }


def weights(name, scale=8, **kwargs):
    """Return random weights of a published model with fewer channels."""
    generator = torch.Generator().manual_seed(0)
    return {
        key: torch.randn(value.shape, generator=generator)
        for key, value in shapes(
            PUBLISHED[name]._replace(scale=scale), **kwargs
        ).items()
    }


def _embedding(model):
    width = model.width // model.scale
    patch = (2, 4, 4) if model.family == 'video' else (4, 4)
    return {
        'patch_embed.proj.weight': (width, 3, *patch),
        'patch_embed.proj.bias': (width,),
        **_norm('patch_embed.norm', width),
    }


def _norm(path, channels):
    return {f'{path}.weight': (channels,), f'{path}.bias': (channels,)}


def _block(model, stage, block, c, buffers):
    """Yield names and shapes of the parameters in a block."""
    heads, tokens, offsets = model.heads[stage], 1, 1
    for size in model.window:
        tokens, offsets = tokens * size, offsets * (2 * size - 1)
    yield from _norm('norm1', c).items()
    yield from _norm('norm2', c).items()
    if model.extra_norm and block % 6 == 5:
        yield from _norm('norm3', c).items()
    if model.family == 'mlp':
        yield 'spatial_mlp.weight', (heads * tokens, tokens, 1)
        yield 'spatial_mlp.bias', (heads * tokens,)
    else:
        yield 'attn.qkv.weight', (3 * c, c)
        yield 'attn.proj.weight', (c, c)
        yield 'attn.proj.bias', (c,)
    if model.family in ('v1', 'video'):
        yield 'attn.relative_position_bias_table', (offsets, heads)
    elif model.family != 'mlp':
        yield 'attn.cpb_mlp.0.weight', (512, 2)
        yield 'attn.cpb_mlp.0.bias', (512,)
        yield 'attn.cpb_mlp.2.weight', (heads, 512)
    if model.family == 'v2':
        yield 'attn.logit_scale', (heads, 1, 1)
        yield 'attn.q_bias', (c,)
        yield 'attn.v_bias', (c,)
    elif model.family != 'mlp':
        yield 'attn.qkv.bias', (3 * c,)
    if model.family == 'moe' and stage > 1 and block % 2:
        path = 'mlp._moe_layer.'
        yield f'{path}gates.0.wg.weight', (8, c)
        for layer, out in (('fc1', 4 * c), ('fc2', c)):
            yield f'{path}experts.batched_{layer}_w', (8, 4 * c, c)
            yield f'{path}experts.batched_{layer}_bias', (8, out)
    else:
        yield 'mlp.fc1.weight', (4 * c, c)
        yield 'mlp.fc1.bias', (4 * c,)
        yield 'mlp.fc2.weight', (c, 4 * c)
        if model.family != 'moe':
            yield 'mlp.fc2.bias', (c,)
    if buffers and model.family != 'mlp':
        yield 'attn.relative_position_index', (tokens, tokens)
        if model.family in ('v2', 'moe'):
            sides = [2 * size - 1 for size in model.window]
            yield 'attn.relative_coords_table', (1, *sides, 2)
        if block % 2 and stage < 3:
            yield 'attn_mask', (4, tokens, tokens)
