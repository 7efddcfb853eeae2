"""By which window Swin V2 divides the offsets that its log-MLP sees.

It belongs to the weights, but is no tensor. Official files tell it by a
buffer; checkpoints of this package record it in their metadata:

- `pretrained_window_sizes`: per stage; 0 where offsets are divided by the
  window in use, which shrinks to small maps;
- `window_sizes`: per stage, the nominal window of the model that was trained.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from swin_dense.checkpoints.layouts.translate import BackboneFile
from swin_dense.checkpoints.windows import normalising_window
from swin_dense.ops.grid import Grid, format_size

LOG_MLP = '.cpb_mlp.0.weight'
_STAGE = re.compile(r'(?:^|\.)layers\.(\d+)\.blocks\.\d+\.attn$')


def stage_number(path: str) -> int:
    """The stage of an attention module, by its name in any model."""
    found = _STAGE.search(path)
    assert found, path
    return int(found[1])


def pretrained_windows(
    converted: BackboneFile,
    stored: Mapping[str, Tensor],
    recorded: Mapping[str, Any],
) -> dict[str, Grid]:
    """The window that divides the offsets in each block of a file.

    Args:
        converted: The backbone of the file.
        stored: All tensors of the file under its own names.
        recorded: What this package recorded in the file.

    Returns:
        Native names of the attention modules and windows in tokens, 0 for the
        window in use, as far as the file tells.
    """
    parents = {
        name[: -len(LOG_MLP)]: converted.origin[name].rsplit('.', 3)[0]
        for name in converted.state_dict
        if name.endswith(LOG_MLP)
    }
    return _windows(parents, stored, recorded)


def windows_for(
    model: nn.Module, stored: Mapping[str, Tensor], recorded: Mapping[str, Any]
) -> dict[str, Grid]:
    """The same for a model whose names are those of the file."""
    return _windows(
        {path: path for path in _attentions(model)}, stored, recorded
    )


def recorded_windows(recorded: Mapping[str, Any]) -> dict[int, Grid]:
    """The window of each stage of the model that was trained, if recorded."""
    return _by_number(recorded.get('window_sizes'))


def first_per_stage(windows: Mapping[str, Grid]) -> tuple[Grid, ...]:
    """The window of the first block of each stage.

    Args:
        windows: By name of the attention module.
    """
    stages: dict[int, Grid] = {}
    for path, window in windows.items():
        stages.setdefault(stage_number(path), window)
    return tuple(stages[index] for index in sorted(stages))


def window_record(model: nn.Module) -> dict[str, Any]:
    """What a checkpoint of a model has to record, if anything."""
    parts = _attentions(model)
    if not parts:
        return {}
    return {
        key: [
            list(window)
            for window in first_per_stage(
                {path: getattr(part, name) for path, part in parts.items()}
            )
        ]
        for key, name in (
            ('window_sizes', 'window_size'),
            ('pretrained_window_sizes', 'pretrained_window_size'),
        )
    }


def fit_coordinates(
    model: nn.Module, windows: Mapping[str, Grid], recorded: Mapping[str, Any]
) -> tuple[dict[str, Grid], list[str]]:
    """What blocks of a model must learn of a file.

    What the model was told stays, whatever the file says.

    Args:
        model: Backbone, or a whole model.
        windows: The window that divides offsets in the file, by the model's
            names; 0 for the window in use.
        recorded: What this package recorded in the file.

    Returns:
        For `set_coordinates`, and notes on it, a line each.
    """
    trained = recorded_windows(recorded)
    coordinates = {}
    notes: Counter[str] = Counter()
    for path, part in _attentions(model).items():
        if path not in windows:
            continue
        told, own = tuple(part.pretrained_window_size), tuple(part.window_size)
        unit: Grid | None = windows[path]
        if unit is not None and not any(unit):
            unit = trained.get(stage_number(path))
        if part.cpb_mlp.window_was_given:
            if unit and told != unit:
                notes[
                    'log-MLP reads offsets in units of '
                    f'{format_size(told)} windows as the model says, though '
                    'the '
                    f'file is of {format_size(unit)}'
                ] += 1
        elif unit and unit != own:
            coordinates[path] = unit
            notes[
                f'log-MLP of {format_size(unit)} windows evaluated for '
                f'{format_size(own)}'
            ] += 1
        else:
            coordinates[path] = windows[path]
    lines = [f'{note} in {count} blocks' for note, count in notes.items()]
    if coordinates and notes:
        lines.append(
            f'pretrained_window_sizes={first_per_stage(coordinates)} was read '
            'from '
            'the file; checkpoints of DenseRunner go on to record it, for '
            'any other runner write it into the config'
        )
    return coordinates, lines


def set_coordinates(model: nn.Module, coordinates: Mapping[str, Grid]) -> None:
    """Let blocks divide offsets by other windows.

    Args:
        model: Whose weights have just been loaded: no table of biases of its
            own is older.
        coordinates: What `fit_coordinates` found.
    """
    for path, window in coordinates.items():
        bias: Any = model.get_submodule(f'{path}.cpb_mlp')
        bias.pretrained_window_size = window


def _attentions(model: nn.Module) -> dict[str, Any]:
    """The attention modules that have a log-MLP."""
    return {
        path: part
        for path, part in model.named_modules()
        if _STAGE.search(path) and hasattr(part, 'pretrained_window_size')
    }


def _windows(
    parents: Mapping[str, str],
    stored: Mapping[str, Tensor],
    recorded: Mapping[str, Any],
) -> dict[str, Grid]:
    """What divides offsets, by the names that stand for those of the file."""
    known = _by_number(recorded.get('pretrained_window_sizes'))
    windows = {}
    for path, theirs in parents.items():
        table = stored.get(f'{theirs}.relative_coords_table')
        if stage_number(path) in known:
            windows[path] = known[stage_number(path)]
        elif table is not None:
            windows[path] = normalising_window(table)
    return windows


def _by_number(windows: Any) -> dict[int, Grid]:
    """A recorded list as windows by stage."""
    return {stage: tuple(window) for stage, window in enumerate(windows or ())}
