"""Slow and obvious versions of what the package computes fast."""

from itertools import product

import numpy as np
import torch


def window_attention(x, attention, window, shift, masked=False):
    """Compute shifted window attention of one map, token by token.

    Args:
        x: Map `(*grid, C)` after the norm, not padded.
        attention: The module with the weights.
        window: Window per axis, not above that of the table.
        shift: Shift per axis.
        masked: Whether padding is hidden.

    Returns:
        Map `(*grid, C)`.
    """
    grid = x.shape[:-1]
    heads = attention.num_heads
    padded = [size + -size % w for size, w in zip(grid, window)]
    tokens = {}
    for position in product(*map(range, padded)):
        inside = all(p < g for p, g in zip(position, grid))
        value = x[position] if inside else x.new_zeros(x.shape[-1])
        rolled = [(p - s) % n for p, s, n in zip(position, shift, padded)]
        key = tuple(r // w for r, w in zip(rolled, window))
        # Whoever was rolled over the border is a stranger in its window.
        region = tuple(p < s for p, s in zip(position, shift))
        tokens.setdefault(key, []).append((position, region, inside, value))
    out = torch.zeros_like(x)
    for members in tokens.values():
        values = torch.stack([member[3] for member in members])
        q, k, v = (
            t.unflatten(-1, (heads, -1)).transpose(0, 1)
            for t in attention.qkv(values).chunk(3, -1)
        )
        is_v2 = hasattr(attention, 'logit_scale')
        has_log_mlp = hasattr(attention, 'cpb_mlp')
        if is_v2:
            q = q + attention.q_bias.view(heads, 1, -1)
            v = v + attention.v_bias.view(heads, 1, -1)
            # Keys of padding are 0, and have no direction.
            q, k = (
                t / (t.square().sum(-1, keepdim=True) + 1e-200).sqrt()
                for t in (q, k)
            )
            scale = attention.logit_scale.exp().clamp(max=100)
        else:
            scale = attention.scale
        logits = q @ k.transpose(1, 2) * scale
        for i, (position, region, _, _) in enumerate(members):
            for j, (other, other_region, inside, _) in enumerate(members):
                if region != other_region or masked and not inside:
                    logits[:, i, j] = -float('inf')
                    continue
                offset = [
                    (a - s) % n % w - (b - s) % n % w
                    for a, b, s, w, n in zip(
                        position, other, shift, window, padded
                    )
                ]
                bias = log_bias if has_log_mlp else table_bias
                logits[:, i, j] += bias(attention, offset, window)
        logits = logits.nan_to_num(neginf=-1e30)
        mixed = (logits.softmax(-1) @ v).transpose(0, 1).flatten(1)
        mixed = attention.proj(mixed)
        for (position, _, inside, _), value in zip(members, mixed):
            if inside:
                out[position] = value
    return out


def table_bias(attention, offset, window):
    """Return the bias per head of an offset, from the table of V1."""
    row = 0
    for o, t in zip(offset, attention.window_size):
        row = row * (2 * t - 1) + o + t - 1
    return attention.relative_position_bias_table[row]


def log_bias(attention, offset, window):
    """Return the bias per head of an offset, from the log-MLP.

    That of V2 ends in a sigmoid, that of Swin-MoE does not.
    """
    first, _, last = attention.cpb_mlp
    unit = [
        pretrained or w
        for pretrained, w in zip(attention.pretrained_window_size, window)
    ]
    # As the official code, in float32 whatever the weights are.
    offset = torch.tensor(offset, dtype=torch.float32)
    far = torch.tensor([max(u - 1, 1) for u in unit], dtype=torch.float32)
    offset = offset / far * 8
    offset = offset.sign() * torch.log2(1 + offset.abs()) / np.log2(8)
    hidden = first(offset.to(first.weight.dtype)).clamp(min=0)
    if not hasattr(attention, 'logit_scale'):
        return last(hidden)
    return 16 / (1 + (-last(hidden)).exp())


def assert_close(actual, expected, tolerance):
    """Compare two tensors; the message names the worst element."""
    assert actual.shape == expected.shape
    error = (actual - expected).abs()
    worst = np.unravel_index(int(error.argmax()), error.shape)
    assert error.max() <= tolerance, (
        f'worst at {worst}: {actual[worst]} instead of {expected[worst]}, '
        f'differs by {error.max():.3g} > {tolerance}'
    )
