"""Join the experts that the processes of a training hold."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.layouts.translate import extract_state_dict

_EXPERT = re.compile(
    r'(?P<layer>.*_moe_layer\.)experts\.batched_fc[12]_(?P<kind>w|bias)$'
)
_HIDDEN = re.compile(r'.*\.mlp\.fc1\.weight$')


def join_experts(
    label: str, master: Mapping[str, Any], ranks: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return a checkpoint with the experts of all processes.

    With as many processes as experts, each process holds one. With fewer, it
    holds several, in order. With more, several processes share an expert, and
    each holds a part of its hidden channels. (`tutel.checkpoint.gather` makes
    the same.)

    Args:
        label: Name of the checkpoint, for errors.
        master: Checkpoint with all parameters but experts.
        ranks: Checkpoints with the experts of each process, in order.

    Returns:
        The first checkpoint with all experts under `model`.

    Raises:
        CheckpointError: If the processes hold other experts than the routers
            choose from, or the shapes do not fit.
    """
    weights = {
        name: value
        for name, value in extract_state_dict(master).items()
        # The first process writes its own frozen bias here.
        if not _EXPERT.match(name)
    }
    held = [
        {
            name: value
            for name, value in extract_state_dict(rank).items()
            if _EXPERT.match(name)
        }
        for rank in ranks
    ]
    _check_names(label, weights, held)
    ratio = _hidden_ratio(weights)
    for name in list(held[0]) if held else ():
        match = _EXPERT.match(name)
        assert match
        count, dim = _router_size(label, weights, match['layer'])
        parts = [rank.pop(name) for rank in held]
        weights[name] = _join(label, name, parts, count)
        hidden = weights[name].shape[1]
        is_first = 'batched_fc2_bias' not in name
        if is_first and ratio and hidden != round(ratio * dim):
            raise CheckpointError(
                f'{label}: {name} of {len(parts)} files has {count} experts '
                f'of {hidden} hidden channels, expected '
                f'{round(ratio * dim)} as in blocks without experts: files of '
                'some processes are absent, or of another model'
            )
        if not is_first:  # the parts of a process are rounded up
            weights[name] = weights[name][:, :dim].contiguous()
    rest = {
        k: v for k, v in master.items() if k not in ('model', 'state_dict')
    }
    return {**rest, 'model': weights}


def _join(label: str, name: str, parts: list[Tensor], count: int) -> Tensor:
    """Return a parameter of all experts, `(E, hidden, C)` or `(E, hidden)`.

    Args:
        label: Name of the checkpoint, for the error.
        name: Name of the parameter.
        parts: The parameter in each process; biases may have a middle axis.
        count: Number of experts.
    """
    if len({part.shape for part in parts}) > 1 or parts[0].ndim < 2:
        shapes = sorted({tuple(part.shape) for part in parts})
        raise CheckpointError(
            f'{label}: {name} has other shapes in some files: {shapes}'
        )
    if name.endswith('_bias'):
        parts = [part.flatten(1) for part in parts]  # (E_local, hidden)
    joined = torch.cat(parts)  # (R * E_local, hidden, C)
    if len(joined) % count:
        raise CheckpointError(
            f'{label}: the routers choose from {count} experts, and '
            f'{len(parts)} files hold {len(joined)} of {name}: files are '
            'absent, or of another model'
        )
    return joined.reshape(count, -1, *joined.shape[2:])  # (E, hidden, C)


def _check_names(
    label: str, weights: Mapping[str, Tensor], held: list[dict[str, Tensor]]
) -> None:
    """Raise unless all processes hold the experts of all routers."""
    layers = {
        name.partition('gates.')[0]
        for name in weights
        if '_moe_layer.gates.' in name
    }
    for number, rank in enumerate(held):
        held_layers = {m['layer'] for m in map(_EXPERT.match, rank) if m}
        if held_layers != layers or rank.keys() != held[0].keys():
            raise CheckpointError(
                f'{label}: the file of rank {number} holds experts of '
                f'{len(held_layers)} blocks ({len(rank)} tensors), expected '
                f'those of {len(layers)} blocks ({len(held[0])} tensors): it '
                'is of another model'
            )
    if layers and not held:
        raise CheckpointError(
            f'{label}: {len(layers)} blocks have experts, and there is no '
            'file that holds them (.rank0, .rank1, ...)'
        )


def _router_size(
    label: str, weights: Mapping[str, Tensor], layer: str
) -> tuple[int, int]:
    """Return the number of experts and of channels of a router."""
    linear = weights.get(f'{layer}gates.0.wg.weight')
    vectors = weights.get(f'{layer}gates.0.sim_matrix')
    projector = weights.get(f'{layer}gates.0.cosine_projector.weight')
    if linear is not None and linear.ndim == 2 and linear.numel():
        return len(linear), linear.shape[1]
    if (
        vectors is not None
        and projector is not None
        and vectors.ndim == projector.ndim == 2
        and vectors.numel()
    ):
        return vectors.shape[1], projector.shape[1]
    raise CheckpointError(
        f'{label}: {layer}gates.0 has neither wg.weight nor sim_matrix and '
        'cosine_projector.weight, so the number of experts is unknown'
    )


def _hidden_ratio(weights: Mapping[str, Tensor]) -> float | None:
    """Return hidden channels over channels of blocks without experts."""
    for name, value in weights.items():
        if _HIDDEN.match(name) and value.ndim == 2 and value.numel():
            return len(value) / value.shape[1]
    return None
