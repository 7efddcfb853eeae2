"""Recorded calls of mmcv's operators: how they are kept and repeated."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parents[1] / 'data' / 'mmcv_ops'


class Case(NamedTuple):
    """One call: tensors by name, and everything else."""

    name: str
    tensors: dict[str, Tensor]
    options: dict


def save(operator: str, cases: dict[str, dict]) -> None:
    """Write {case: {'options': dict, 'in': tensors, 'out': tensors}}.

    Equal tensors are stored once, and all in one array per type, because a
    file of many small arrays is mostly headers.
    """
    values = {'float': [np.zeros(0, 'f4')], 'int': [np.zeros(0, 'i2')]}
    places = {}

    def place(tensor):
        kind = 'float' if tensor.is_floating_point() else 'int'
        array = tensor.numpy().astype(values[kind][0].dtype)
        key = (kind, array.shape, array.tobytes())
        if key not in places:
            start = sum(map(len, values[kind]))
            places[key] = [kind, start, array.shape]
            values[kind].append(array.ravel())
        return places[key]

    layout = {
        name: {
            'options': case['options'],
            'in': {k: place(v) for k, v in case['in'].items()},
            'out': {k: place(v) for k, v in case['out'].items()},
        }
        for name, case in cases.items()
    }
    np.savez_compressed(
        FOLDER / f'{operator}.npz',
        layout=json.dumps(layout),
        **{kind: np.concatenate(parts) for kind, parts in values.items()},
    )


def load(operator: str) -> dict[str, dict]:
    """Read a file that `save` wrote."""
    with np.load(FOLDER / f'{operator}.npz') as file:
        cases = json.loads(file['layout'].item())
        values = {
            'float': torch.from_numpy(file['float']),
            'int': torch.from_numpy(file['int']).long(),
        }
    for case in cases.values():
        for tensors in (case['in'], case['out']):
            for name, (kind, start, shape) in tensors.items():
                size = torch.Size(shape)
                flat = values[kind][start : start + size.numel()]
                tensors[name] = flat.view(size)
    return cases


def run(
    call: Callable[..., Any], tensors: dict[str, Tensor], options: dict
) -> dict[str, Tensor]:
    """Call mmcv's wrapper of an operator by `call`, whatever serves it.

    `grad_output` among the tensors asks for gradients of all that can have
    one; they are returned as `grad_<name>`.
    """
    tensors = dict(tensors)
    grad_output = tensors.pop('grad_output', None)
    inputs = {
        name: value.detach()
        .clone()
        .requires_grad_(
            grad_output is not None
            and value.is_floating_point()
            and name != 'rois'
        )
        for name, value in tensors.items()
    }
    results = call(**inputs, **options)
    if not isinstance(results, tuple):
        results = (results,)
    outputs = {f'{i}': value.detach() for i, value in enumerate(results)}
    if grad_output is not None:
        results[0].backward(grad_output.to(results[0]))
        outputs.update(
            {
                f'grad_{name}': value.grad
                for name, value in inputs.items()
                if value.grad is not None
            }
        )
    return outputs
