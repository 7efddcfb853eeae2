"""The pretrained window of Swin V2 and Swin-MoE.

The log-MLP sees each offset divided by this window, so weights are only
correct together with it. It is not a parameter. Official checkpoints imply it
by a buffer (`relative_coords_table`); checkpoints of this package record it
in their metadata:

- `pretrained_window_sizes`: per stage; 0 if offsets are divided by the window
  in use, which shrinks to small maps;
- `window_sizes`: per stage, the nominal window of the trained model.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from swin_dense.checkpoints.layouts.translate import BackboneFile
from swin_dense.checkpoints.position import LOG_MLP
from swin_dense.checkpoints.windows import normalising_window
from swin_dense.ops.grid import Grid, format_size

_STAGE = re.compile(r'(?:^|\.)layers\.(\d+)\.blocks\.\d+\.attn$')


def stage_number(path: str) -> int:
    """Return the stage of an attention module from its name in any model."""
    match = _STAGE.search(path)
    assert match, path
    return int(match[1])


def pretrained_windows(file: BackboneFile) -> dict[str, Grid]:
    """Return the pretrained window of each attention module of a checkpoint.

    Args:
        file: Backbone of the checkpoint.

    Returns:
        Window in tokens per axis by native name of the module; 0 for the
        window in use. Modules whose window is not recorded are left out.
    """
    parents = {
        name[: -len(LOG_MLP)]: file.origin[name].rsplit('.', 3)[0]
        for name in file.weights
        if name.endswith(LOG_MLP)
    }
    return _windows(parents, file.stored, file.recorded)


def pretrained_windows_for(
    model: nn.Module, stored: Mapping[str, Tensor], recorded: Mapping[str, Any]
) -> dict[str, Grid]:
    """Return the pretrained windows of a whole model from a checkpoint.

    Args:
        model: Model with the parameter names of the checkpoint.
        stored: All tensors of the checkpoint.
        recorded: Metadata that this package recorded in it.

    Returns:
        See `pretrained_windows`; by names in the model.
    """
    return _windows(
        {path: path for path in _attentions(model)}, stored, recorded
    )


def recorded_windows(recorded: Mapping[str, Any]) -> dict[int, Grid]:
    """Return the nominal window of each stage of the trained model.

    Args:
        recorded: Metadata that this package recorded in a checkpoint.

    Returns:
        Window in tokens per axis by stage; {} if it is not recorded.
    """
    return _by_stage(recorded.get('window_sizes'))


def first_per_stage(windows: Mapping[str, Grid]) -> tuple[Grid, ...]:
    """Return the window of the first block of each stage.

    Args:
        windows: Windows by name of the attention module.
    """
    stages: dict[int, Grid] = {}
    for path, window in windows.items():
        stages.setdefault(stage_number(path), window)
    return tuple(stages[index] for index in sorted(stages))


def window_record(model: nn.Module) -> dict[str, Any]:
    """Return the windows that a checkpoint of a model has to record.

    Returns:
        `window_sizes` and `pretrained_window_sizes`, a list for each stage;
        {} if the model has no log-MLP.
    """
    attentions = _attentions(model)
    if not attentions:
        return {}
    return {
        key: [
            list(window)
            for window in first_per_stage(
                {
                    path: getattr(attention, attribute)
                    for path, attention in attentions.items()
                }
            )
        ]
        for key, attribute in (
            ('window_sizes', 'window_size'),
            ('pretrained_window_sizes', 'pretrained_window_size'),
        )
    }


def choose_pretrained_windows(
    model: nn.Module, windows: Mapping[str, Grid], recorded: Mapping[str, Any]
) -> tuple[dict[str, Grid], list[str]]:
    """Choose the pretrained window of each attention module of a model.

    A window that the caller gave to the model is kept.

    Args:
        model: Backbone, or a whole model.
        windows: Pretrained windows of the checkpoint by names in the model; 0
            for the window in use.
        recorded: Metadata that this package recorded in the checkpoint.

    Returns:
        Windows to set by `set_pretrained_windows`, and a line for each kind of
        change.
    """
    nominal = recorded_windows(recorded)
    chosen = {}
    notes: Counter[str] = Counter()
    for path, attention in _attentions(model).items():
        if path not in windows:
            continue
        in_model = tuple(attention.pretrained_window_size)
        window = tuple(attention.window_size)
        in_file: Grid | None = windows[path]
        if in_file is not None and not any(in_file):
            in_file = nominal.get(stage_number(path))
        if attention.cpb_mlp.window_was_given:
            if in_file and in_model != in_file:
                notes[
                    'log-MLP reads offsets in units of '
                    f'{format_size(in_model)} windows as the model says, '
                    f'though the file is of {format_size(in_file)}'
                ] += 1
        elif in_file and in_file != window:
            chosen[path] = in_file
            notes[
                f'log-MLP of {format_size(in_file)} windows evaluated for '
                f'{format_size(window)}'
            ] += 1
        else:
            chosen[path] = windows[path]
    lines = [f'{note} in {count} blocks' for note, count in notes.items()]
    if chosen and notes:
        lines.append(
            f'pretrained_window_sizes={first_per_stage(chosen)} was read from '
            'the file; checkpoints of DenseRunner go on to record it, for '
            'any other runner write it into the config'
        )
    return chosen, lines


def set_pretrained_windows(
    model: nn.Module, windows: Mapping[str, Grid]
) -> None:
    """Set the pretrained windows of attention modules.

    Args:
        model: Model whose weights were loaded just before, so that no module
            keeps a table of biases.
        windows: Windows that `choose_pretrained_windows` returned.
    """
    for path, window in windows.items():
        bias: Any = model.get_submodule(f'{path}.cpb_mlp')
        bias.pretrained_window_size = window


def _attentions(model: nn.Module) -> dict[str, Any]:
    """Return the attention modules with a log-MLP by name."""
    return {
        path: module
        for path, module in model.named_modules()
        if _STAGE.search(path) and hasattr(module, 'pretrained_window_size')
    }


def _windows(
    parents: Mapping[str, str],
    stored: Mapping[str, Tensor],
    recorded: Mapping[str, Any],
) -> dict[str, Grid]:
    """Return the pretrained window of each attention module.

    Args:
        parents: Name in the checkpoint of each module by the wanted name.
        stored: All tensors of the checkpoint.
        recorded: Metadata of the checkpoint; it wins over buffers.
    """
    by_stage = _by_stage(recorded.get('pretrained_window_sizes'))
    windows = {}
    for path, parent in parents.items():
        table = stored.get(f'{parent}.relative_coords_table')
        if stage_number(path) in by_stage:
            windows[path] = by_stage[stage_number(path)]
        elif table is not None:
            windows[path] = normalising_window(table)
    return windows


def _by_stage(windows: Any) -> dict[int, Grid]:
    """Return a recorded list of windows as a mapping from stage to window."""
    return {stage: tuple(window) for stage, window in enumerate(windows or ())}
