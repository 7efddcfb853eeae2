"""What sources do differently to the tensors of a Swin.

Every function takes a backbone under native names, as far as names go, and
returns a new one; tensors that need no change are shared. C channels.
"""

import re
from collections.abc import Callable

import torch
from torch import Tensor

StateDict = dict[str, Tensor]

_REDUCTION = re.compile(r'(layers\.\d+\.downsample\.)reduction\.weight$')
_PART = re.compile(r'(.+\.attn\.)([qkv])\.(weight|bias)$')
_WHOLE = re.compile(r'(.+\.attn\.)qkv\.(weight|bias)$')
_V2_BIAS = re.compile(r'(.+\.attn\.)([qv])_bias$')


def to_unfold(weights: StateDict) -> StateDict:
    """Reorder the 4C inputs of patch mergings to those of `nn.Unfold`.

    Of four neighbours (row, column) the official code concatenates all
    channels of (0, 0), then of (1, 0), (0, 1) and (1, 1); Unfold goes through
    (0, 0), (0, 1), (1, 0), (1, 1) within each channel.
    """
    return _reordered(
        weights,
        lambda x: (
            x.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]
            .transpose(-1, -2)
            .flatten(-2)
        ),
    )


def from_unfold(weights: StateDict) -> StateDict:
    """Undo `to_unfold`."""
    return _reordered(
        weights,
        lambda x: (
            x.unflatten(-1, (-1, 4))
            .transpose(-1, -2)[..., [0, 2, 1, 3], :]
            .flatten(-2)
        ),
    )


def _reordered(
    weights: StateDict, order: Callable[[Tensor], Tensor]
) -> StateDict:
    out = dict(weights)
    for name, value in weights.items():
        match = _REDUCTION.match(name)
        if not match:
            continue
        out[name] = order(value)
        for leaf in ('norm.weight', 'norm.bias'):
            norm = weights.get(match[1] + leaf)
            # The norm of V2 comes after the reduction, with 2C channels.
            if norm is not None and len(norm) == value.shape[1]:
                out[match[1] + leaf] = order(norm)
    return out


def join_qkv(weights: StateDict) -> StateDict:
    """Make `qkv` of `q`, `k` and `v`; the biases of V2 stay apart."""
    out = {}
    for name, value in weights.items():
        match = _PART.match(name)
        if not match:
            out[name] = value
            continue
        path, part, leaf = match.groups()
        three = [f'{path}{each}.{leaf}' for each in 'qkv']
        if leaf == 'bias' and _is_v2(weights, path):
            out[f'{path}{part}_bias'] = value
        elif not all(each in weights for each in three):
            out[name] = value  # for the loader to complain about
        elif part == 'q':
            out[f'{path}qkv.{leaf}'] = torch.cat(
                [weights[each] for each in three]
            )
    return out


def split_qkv(weights: StateDict) -> StateDict:
    """Undo `join_qkv`."""
    out = {}
    for name, value in weights.items():
        whole, bias = _WHOLE.match(name), _V2_BIAS.match(name)
        if whole:
            for part, rows in zip('qkv', value.chunk(3)):
                # A file must not hold three views of one storage.
                out[f'{whole[1]}{part}.{whole[2]}'] = rows.clone()
        elif bias:
            out[f'{bias[1]}{bias[2]}.bias'] = value
        else:
            out[name] = value
    return out


def split_bias(weights: StateDict) -> StateDict:
    """Make `q_bias` and `v_bias` of V2's `qkv.bias`.

    The key's third goes: it has no effect, torchvision sets it to 0 in every
    forward pass.
    """
    out = {}
    for name, value in weights.items():
        whole = _WHOLE.match(name)
        if whole and whole[2] == 'bias' and _is_v2(weights, whole[1]):
            query, _, value_bias = value.chunk(3)
            out[f'{whole[1]}q_bias'] = query.clone()
            out[f'{whole[1]}v_bias'] = value_bias.clone()
        else:
            out[name] = value
    return out


def join_bias(weights: StateDict) -> StateDict:
    """Undo `split_bias`, with zeros for the key."""
    out = {}
    for name, value in weights.items():
        bias = _V2_BIAS.match(name)
        if not bias:
            out[name] = value
        elif bias[2] == 'q':
            out[f'{bias[1]}qkv.bias'] = torch.cat(
                [value, torch.zeros_like(value), weights[f'{bias[1]}v_bias']]
            )
    return out


def _is_v2(weights: StateDict, path: str) -> bool:
    """Whether an attention is that of V2."""
    return f'{path}logit_scale' in weights
