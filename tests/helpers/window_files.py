"""Weights of each member of the family, with the buffers of its windows."""

import torch

from swin_dense.backbones import (
    SwinTransformer,
    SwinTransformer3D,
    SwinTransformerV2,
)
from swin_dense.ops import log_coordinates, relative_index

SIZES = dict(embed_dims=4, depths=(2, 2, 2, 2), num_heads=(1, 2, 2, 4))
TABLE = 'relative_position_bias_table'
CLASSES = dict(
    v1=SwinTransformer, v2=SwinTransformerV2, video=SwinTransformer3D
)


def model(family, **kwargs):
    """Build a tiny backbone."""
    sizes = SIZES if family == 'v1' else dict(arch=dict(SIZES))
    return CLASSES[family](**{**sizes, **kwargs})


def weights(family, buffers=True, **kwargs):
    """Return random weights in native names, with official buffers."""
    network = model(family, **kwargs)
    state_dict = {
        name: torch.randn_like(value) / 4
        for name, value in network.state_dict().items()
    }
    modules = dict(network.named_modules())
    for path, part in modules.items() if buffers else ():
        if not path.endswith('.attn'):
            continue
        window = part.window_size
        state_dict[f'{path}.relative_position_index'] = relative_index(
            window
        ).clone()
        if family == 'v2':
            pretrained = part.pretrained_window_size
            unit = pretrained if any(pretrained) else window
            state_dict[f'{path}.relative_coords_table'] = log_coordinates(
                window, unit
            ).unflatten(0, [2 * w - 1 for w in window])[None]
        if path.endswith('1.attn'):
            path = path.rpartition('.')[0]
            state_dict[f'{path}.attn_mask'] = torch.zeros(4, 9, 9)
    return state_dict
