"""State_dicts as the sources publish them, with random weights."""

import torch

from swin_dense.backbones import SwinTransformer
from swin_dense.checkpoints.layouts.translate import read_backbone

DEPTHS = dict(
    tiny=(2, 2, 6, 2),
    small=(2, 2, 18, 2),
    base=(2, 2, 18, 2),
    large=(2, 2, 18, 2),
)
WIDTHS = dict(tiny=8, small=8, base=16, large=24)


def build(arch: str = 'tiny', **kwargs) -> SwinTransformer:
    """Build a backbone of published depths and few channels."""
    arguments = dict(
        embed_dims=WIDTHS[arch], depths=DEPTHS[arch], num_heads=(1, 2, 4, 8)
    )
    return SwinTransformer(**{**arguments, **kwargs})


def random_like(state_dict: dict) -> dict:
    """Return random values of full rank under the same names."""
    return {
        name: torch.randn_like(value) for name, value in state_dict.items()
    }


def native(arch: str = 'tiny', **kwargs) -> dict:
    """Return random weights in native names, with all output norms."""
    return random_like(build(arch, **kwargs).state_dict())


def to_native(checkpoint: dict) -> tuple[dict, str]:
    """Return the backbone in native names, and its source and kind."""
    file = read_backbone(checkpoint)
    return file.weights, str(file.recognised)


def classifier(arch: str = 'tiny', window: int = 7, **kwargs) -> dict:
    """Return a checkpoint as of the official classification code."""
    weights = native(arch, window_size=window, **kwargs)
    state_dict = {}
    for name, value in weights.items():
        if name.startswith('norm'):
            continue
        state_dict[name] = value
        if name.endswith('relative_position_bias_table'):
            path = name.rpartition('.')[0]
            tokens = window**2
            state_dict[f'{path}.relative_position_index'] = torch.zeros(
                tokens, tokens, dtype=torch.int64
            )
    state_dict['layers.0.blocks.1.attn_mask'] = torch.zeros(4, 49, 49)
    channels = weights['norm3.weight'].shape[0]
    state_dict['norm.weight'] = torch.randn(channels)
    state_dict['norm.bias'] = torch.randn(channels)
    state_dict['head.weight'] = torch.randn(10, channels)
    state_dict['head.bias'] = torch.randn(10)
    return {'model': state_dict}


def detector(backbone: dict) -> dict:
    """Return the checkpoint of a detector with this backbone."""
    state_dict = {f'backbone.{k}': v for k, v in backbone.items()}
    state_dict['neck.lateral_convs.0.conv.weight'] = torch.randn(4, 8, 1, 1)
    state_dict['rpn_head.rpn_cls.bias'] = torch.randn(3)
    return {'meta': {'epoch': 36}, 'state_dict': state_dict}


def segmentor(backbone: dict) -> dict:
    """Return the checkpoint of a segmentor with this backbone."""
    state_dict = {f'backbone.{k}': v for k, v in backbone.items()}
    state_dict['decode_head.conv_seg.bias'] = torch.randn(3)
    state_dict['auxiliary_head.conv_seg.bias'] = torch.randn(3)
    return {'meta': {'iter': 160000}, 'state_dict': state_dict}


def assert_same(actual: dict, expected: dict) -> None:
    """Check that names, their order and values are equal."""
    assert list(actual) == list(expected)
    for name, value in expected.items():
        assert torch.equal(actual[name], value), name
