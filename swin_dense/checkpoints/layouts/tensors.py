"""Translate the tensors that sources store in another form.

Every function takes a backbone whose names are native already, and returns a
new one; tensors that need no change are shared. C stands for channels.
"""

import re
from collections.abc import Callable

import torch
from torch import Tensor

StateDict = dict[str, Tensor]

_REDUCTION = re.compile(r'(layers\.\d+\.downsample\.)reduction\.weight$')
_PART = re.compile(r'(.+\.attn\.)([qkv])\.(weight|bias)$')
_WHOLE = re.compile(r'(.+\.attn\.)qkv\.(weight|bias)$')
_EXPERTS = re.compile(r'(.+\.experts\.)batched_(fc[12])_(w|bias)$')
_V2_BIAS = re.compile(r'(.+\.attn\.)([qv])_bias$')


def to_unfold(weights: StateDict) -> StateDict:
    """Reorder the 4C inputs of patch mergings to those of `nn.Unfold`.

    The official code concatenates all channels of neighbour (row, column) =
    (0, 0), then all of (1, 0), (0, 1) and (1, 1). `nn.Unfold` has the four
    neighbours (0, 0), (0, 1), (1, 0), (1, 1) of each channel side by side.
    """
    return _reordered(
        weights,
        lambda x: (
            x.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]  # (..., 4, C)
            .transpose(-1, -2)
            .flatten(-2)  # (..., 4C)
        ),
    )


def from_unfold(weights: StateDict) -> StateDict:
    """Undo `to_unfold`."""
    return _reordered(
        weights,
        lambda x: (
            x.unflatten(-1, (-1, 4))  # (..., C, 4)
            .transpose(-1, -2)[..., [0, 2, 1, 3], :]
            .flatten(-2)  # (..., 4C)
        ),
    )


def _reordered(
    weights: StateDict, order: Callable[[Tensor], Tensor]
) -> StateDict:
    """Apply a function to the last axis of mergings and of their norms."""
    out = dict(weights)
    for name, value in weights.items():
        match = _REDUCTION.match(name)
        if not match:
            continue
        out[name] = order(value)
        for leaf in ('norm.weight', 'norm.bias'):
            norm = weights.get(match[1] + leaf)
            # The norm of V2 follows the reduction and has 2C channels.
            if norm is not None and len(norm) == value.shape[1]:
                out[match[1] + leaf] = order(norm)
    return out


def join_qkv(weights: StateDict) -> StateDict:
    """Concatenate `q`, `k` and `v` to `qkv`; V2 keeps separate biases."""
    out = {}
    for name, value in weights.items():
        match = _PART.match(name)
        if not match:
            out[name] = value
            continue
        path, part, leaf = match.groups()
        parts = [f'{path}{letter}.{leaf}' for letter in 'qkv']
        if leaf == 'bias' and _is_v2(weights, path):
            out[f'{path}{part}_bias'] = value
        elif not all(name in weights for name in parts):
            out[name] = value  # the loader will report it as unexpected
        elif part == 'q':
            out[f'{path}qkv.{leaf}'] = torch.cat(
                [weights[name] for name in parts]
            )  # (3C, ...)
    return out


def split_qkv(weights: StateDict) -> StateDict:
    """Undo `join_qkv`."""
    out = {}
    for name, value in weights.items():
        whole, bias = _WHOLE.match(name), _V2_BIAS.match(name)
        if whole:
            for part, rows in zip('qkv', value.chunk(3)):
                # Views would store the whole tensor three times.
                out[f'{whole[1]}{part}.{whole[2]}'] = rows.clone()
        elif bias:
            out[f'{bias[1]}{bias[2]}.bias'] = value
        else:
            out[name] = value
    return out


def split_bias(weights: StateDict) -> StateDict:
    """Split the `qkv.bias` of V2 into `q_bias` and `v_bias`.

    The bias of keys is dropped: torchvision sets it to 0 in every forward
    pass.
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
    """Undo `split_bias`, with zeros for keys."""
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


def complete_experts(weights: StateDict) -> StateDict:
    """Bring the biases of experts to the shape `(E, channels)`.

    Older versions of Tutel have an axis more. A bias of the second layer that
    was never trained may be absent: it is 0.
    """
    out = dict(weights)
    for name, value in weights.items():
        match = _EXPERTS.match(name)
        if match and match[3] == 'bias' and value.ndim == 3:
            out[name] = value.flatten(1)  # (E, channels)
        elif match and match[2] == 'fc2' and match[3] == 'w':
            bias = f'{match[1]}batched_fc2_bias'
            if bias not in weights:
                out[bias] = value.new_zeros(len(value), value.shape[-1])
    return out


def _is_v2(weights: StateDict, path: str) -> bool:
    """Return True if the attention at a path is that of V2."""
    return f'{path}logit_scale' in weights
