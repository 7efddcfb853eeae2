"""Checkpoints of a run: their names, and whether two hold the same state."""

import copy
import os
from pathlib import Path

import numpy as np
import torch

from swin_dense.checkpoints.files.read import read_checkpoint

# Settings of a run with averaged weights.
EMA = [dict(type='EMAHook')]
FUSED = dict(optimizer=dict(type='AdamW', lr=0.01, fused=True))


def names(folder):
    """Return the sorted names of the checkpoints in a folder."""
    return sorted(path.name for path in Path(folder).glob('*.pth'))


def assert_same_state(path, other):
    """Check that weights, optimizer, schedules and losses are bit-equal."""
    first, second = read_checkpoint(path), read_checkpoint(other)
    assert first['meta']['iter'] == second['meta']['iter']
    for key in ('state_dict', 'optimizer', 'param_schedulers'):
        flat, expected = flatten(first[key]), flatten(second[key])
        assert flat.keys() == expected.keys()
        for name, value in flat.items():
            if torch.is_tensor(value):
                assert torch.equal(value, expected[name]), name
            else:
                assert value == expected[name], name
    losses = [
        saved['message_hub']['log_scalars']['train/loss'].data[0]
        for saved in (first, second)
    ]
    np.testing.assert_array_equal(*losses)


def flatten(value, path=''):
    """Return the leaves of nested containers by their paths."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return {path: value}
    flat = {}
    for key, inner in items:
        flat.update(flatten(inner, f'{path}/{key}'))
    return flat


def copy_checkpoint(source, target, age):
    """Copy a checkpoint and set its time, `age` seconds before a fixed one."""
    target.write_bytes(source.read_bytes())
    os.utime(target, ns=(0, 10**18 - age * 10**9))


def changed(saved, path, value):
    """Return a copy of a checkpoint with an entry set, or removed by `...`."""
    checkpoint = copy.deepcopy(saved)
    inner = checkpoint
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return checkpoint
