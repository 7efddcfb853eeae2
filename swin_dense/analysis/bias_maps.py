"""Maps of position biases out of a checkpoint that was resized."""

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from swin_dense.checkpoints.position import TABLE, resize_bias_table
from swin_dense.checkpoints.pretrained_windows import LOG_MLP
from swin_dense.checkpoints.resize import Resized
from swin_dense.layers.log_position_bias import LogPositionBias
from swin_dense.ops.grid import Grid
from swin_dense.visualization.position_bias import BiasMap

_BLOCK = re.compile(r'layers\.(\d+)\.blocks\.(\d+)\.attn')
_HEAD = re.compile(r'(\d+)\.(\d+)\.(\d+)')


def head_maps(
    resized: Resized, heads: Sequence[str] | None = None
) -> list[BiasMap]:
    """The biases of some heads before and after.

    Of clips, those between tokens of the same time.

    Args:
        resized: What `resize_checkpoint` returned.
        heads: Such as '2.0.5' for head 5 in block 0 of stage 2. By default
            of the first block of each stage the head whose biases differ
            most.

    Raises:
        ValueError: If there is no such head.
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
    """The map of one head, or of the one whose biases differ most."""
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
    """Biases `(2h - 1, 2w - 1, heads)` of both windows."""
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
    """The table that the network of Swin V2 computes for a window."""
    prefix = f'{attention}.cpb_mlp.'
    own = {
        name[len(prefix) :]: value
        for name, value in weights.items()
        if name.startswith(prefix)
    }
    network = LogPositionBias(
        unit, len(own['2.weight']), unit, hidden_dim=len(own['0.weight'])
    )
    network.load_state_dict(own)
    with torch.no_grad():
        return network(window)


def _grid(table: Tensor, window: Grid) -> Tensor:
    grid = table.unflatten(0, [2 * size - 1 for size in window])
    return grid if len(window) == 2 else grid[window[0] - 1]
