"""Backbones of few channels, and random weights for them."""

import torch
from torch import nn

from swin_dense.backbones import SwinTransformer
from swin_dense.layers import LogPositionBias

# Stages of odd and of even depth, and few channels.
NARROW = dict(embed_dims=8, depths=(2, 1, 2, 1), num_heads=(1, 2, 2, 4))
# Two stages, for tests that compile or count.
TWO_STAGES = dict(embed_dims=8, depths=(2, 1), num_heads=(1, 2))
# Stages of even depth, which other packages' code takes.
EVEN = dict(embed_dims=16, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8))


def make(cls, arch=None, **kwargs) -> nn.Module:
    """Build a backbone with random weights, by default a narrow one.

    Args:
        cls: Class of the backbone.
        arch: Sizes in place of `NARROW`.
        kwargs: Other arguments of the class.
    """
    if arch is not None:
        kwargs['arch'] = arch
    elif cls is SwinTransformer:
        kwargs = {**NARROW, **kwargs}
    else:
        kwargs['arch'] = NARROW
    return randomize(cls(**kwargs))


def randomize(module: torch.nn.Module) -> torch.nn.Module:
    """Draw full-rank weights, biases other than 0, and norms other than 1.

    At the scale of an initialisation (0.02) a wrong bias index or a missing
    mask would hide below any tolerance.
    """
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn_like(parameter)
            if 'table' in name or 'absolute' in name:
                parameter.copy_(noise)
            elif 'logit_scale' in name:
                parameter.copy_(2 + 0.3 * noise)
            elif parameter.ndim > 1:
                parameter.copy_(noise * parameter[0].numel() ** -0.5)
            else:
                is_scale = 'norm' in name and name.endswith('weight')
                parameter.copy_(is_scale + 0.3 * noise)
    return module


def count_tables(monkeypatch) -> list:
    """Return a list that grows with each bias table that is computed."""
    computed = []
    compute = LogPositionBias._compute

    def counted(self, window, cache):
        computed.append(window)
        return compute(self, window, cache)

    monkeypatch.setattr(LogPositionBias, '_compute', counted)
    return computed


def official_classifier(model) -> dict:
    """Return the state_dict of an official classifier with this backbone.

    Args:
        model: Backbone of this package.
    """
    weights = {
        name: value.clone()
        for name, value in model.state_dict().items()
        if not name.startswith('norm')
    }
    channels = model.channels[-1]
    weights['norm.weight'] = torch.randn(channels)
    weights['norm.bias'] = torch.randn(channels)
    weights['head.weight'] = torch.randn(10, channels)
    weights['head.bias'] = torch.randn(10)
    return weights
