"""Maps of the position biases of a checkpoint that was resized."""

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from swin_dense.checkpoints.position import LOG_MLP, TABLE, resize_bias_table
from swin_dense.checkpoints.resize import Resized
from swin_dense.layers.log_position_bias import LogPositionBias
from swin_dense.ops.grid import Grid
from swin_dense.visualization.position_bias import BiasMap

_BLOCK = re.compile(r'layers\.(\d+)\.blocks\.(\d+)\.attn')
_HEAD = re.compile(r'(\d+)\.(\d+)\.(\d+)')


def head_maps(
    resized: Resized, heads: Sequence[str] | None = None
) -> list[BiasMap]:
    """Return the biases of selected heads before and after resizing.

    For clips, these are the biases between tokens of the same time.

    Args:
        resized: Result of `resize_checkpoint`.
        heads: Heads such as '2.0.5', head 5 in block 0 of stage 2. By
            default, the head with the largest spread of biases in the first
            block of each stage.

    Raises:
        ValueError: If the checkpoint has no such head.
    """
    attentions = {}
    for name in resized.windows:
        match = _BLOCK.match(name)
        if match:
            attentions[int(match[1]), int(match[2])] = match[0]
    if not heads:
        return [
            _map(resized, attentions[block], None)
            for block in sorted(attentions)
            if block[1] == 0
        ]
    maps = []
    for text in heads:
        match = _HEAD.fullmatch(text)
        if match is None:
            raise ValueError(
                f'heads must be given as STAGE.BLOCK.HEAD, such '
                f'as 2.0.5, got {text!r}'
            )
        stage, block, head = (int(number) for number in match.groups())
        if (stage, block) not in attentions:
            last = '.'.join(map(str, max(attentions)))
            raise ValueError(
                f'has no block {stage}.{block} (the last is '
                f'{last}), asked for as {text}'
            )
        maps.append(_map(resized, attentions[stage, block], head))
    return maps


def _map(resized: Resized, attention: str, head: int | None) -> BiasMap:
    """Return the map of a head, by default the one with most spread."""
    before, after = _biases(resized, attention)
    count = before.shape[-1]
    if head is None:
        head = int(before.flatten(0, 1).std(0).argmax())
    if head >= count:
        raise ValueError(
            f'has no head {head} in {attention}, whose heads are '
            f'0 to {count - 1}'
        )
    return BiasMap(
        f'{attention[: -len(".attn")]}\nhead {head} of 0-{count - 1}',
        before[..., head].numpy(),
        after[..., head].numpy(),
    )


def _biases(resized: Resized, attention: str) -> tuple[Tensor, Tensor]:
    """Return biases before and after, each `(2h - 1, 2w - 1, heads)`."""
    weights = resized.source.weights
    target = tuple(resized.metadata['window'])
    if attention + LOG_MLP in weights:
        unit = resized.windows[attention]
        tables = [
            _evaluate(weights, attention, window, unit)
            for window in (unit, target)
        ]
        return _grid(tables[0], unit), _grid(tables[1], target)
    name = f'{attention}.{TABLE}'
    source, table = resized.windows[name], weights[name].float()
    changed = resize_bias_table(
        table, source, target, resized.metadata['method']
    )
    return _grid(table, source), _grid(changed, target)


def _evaluate(
    weights: dict[str, Tensor], attention: str, window: Grid, unit: Grid
) -> Tensor:
    """Return the bias table that a log-MLP computes for a window."""
    prefix = f'{attention}.cpb_mlp.'
    parameters = {
        name[len(prefix) :]: value
        for name, value in weights.items()
        if name.startswith(prefix)
    }
    network = LogPositionBias(
        unit,
        len(parameters['2.weight']),
        unit,
        hidden_dim=len(parameters['0.weight']),
        # That of Swin-MoE has no bound.
        bound=16.0 if f'{attention}.logit_scale' in weights else None,
    )
    network.load_state_dict(parameters)
    with torch.no_grad():
        return network(window)


def _grid(table: Tensor, window: Grid) -> Tensor:
    """Lay a bias table out by offsets, `(2h - 1, 2w - 1, heads)`."""
    # (*offsets, heads)
    grid = table.unflatten(0, [2 * size - 1 for size in window])
    return grid if len(window) == 2 else grid[window[0] - 1]
