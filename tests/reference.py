"""Slow and obvious versions of what the package computes fast."""
from itertools import product

import numpy as np
import torch


def randomize(module: torch.nn.Module) -> torch.nn.Module:
    """Full-rank weights, biases away from 0, norm weights away from 1.

    At the scale of an initialisation (0.02) a wrong bias index or a missing
    mask would hide below any tolerance.
    """
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn_like(parameter)
            if 'table' in name or 'absolute' in name:
                parameter.copy_(noise)
            elif parameter.ndim > 1:
                parameter.copy_(noise * parameter[0].numel()**-.5)
            else:
                is_scale = 'norm' in name and name.endswith('weight')
                parameter.copy_(is_scale + .3 * noise)
    return module


def window_attention(x, attention, window, shift, masked=False):
    """Shifted window attention of one map, token by token.

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
    table = attention.relative_position_bias_table
    out = torch.zeros_like(x)
    for members in tokens.values():
        values = torch.stack([member[3] for member in members])
        q, k, v = attention.qkv(values).chunk(3, -1)
        split = [
            t.unflatten(-1, (heads, -1)).transpose(0, 1) for t in (q, k, v)
        ]
        logits = split[0] @ split[1].transpose(1, 2) * attention.scale
        for i, (position, region, _, _) in enumerate(members):
            for j, (other, other_region, inside, _) in enumerate(members):
                if region != other_region or masked and not inside:
                    logits[:, i, j] = -float('inf')
                    continue
                row = 0
                for a, b, s, w, n, t in zip(position, other, shift, window,
                                            padded, attention.window_size):
                    offset = (a - s) % n % w - (b - s) % n % w
                    row = row * (2 * t - 1) + offset + t - 1
                logits[:, i, j] += table[row]
        logits = logits.nan_to_num(neginf=-1e30)
        mixed = (logits.softmax(-1) @ split[2]).transpose(0, 1).flatten(1)
        mixed = attention.proj(mixed)
        for (position, _, inside, _), value in zip(members, mixed):
            if inside:
                out[position] = value
    return out


def assert_close(actual, expected, tolerance):
    """Compare two tensors; the message has the worst element."""
    assert actual.shape == expected.shape
    error = (actual - expected).abs()
    worst = np.unravel_index(int(error.argmax()), error.shape)
    assert error.max() <= tolerance, (
        f'worst at {worst}: {actual[worst]} instead of {expected[worst]}, '
        f'differs by {error.max():.3g} > {tolerance}')
