"""Adapt a backbone's weights to a model of another window or rank."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from swin_dense.checkpoints.layouts.tensors import StateDict
from swin_dense.checkpoints.layouts.translate import BackboneFile
from swin_dense.checkpoints.native import (
    FAMILIES,
    INFLATED_FROM,
    family,
    last_norm,
    replace_prefix,
)
from swin_dense.checkpoints.position import (
    PATCH,
    TABLE,
    Resize,
    fit_position,
    inflate,
)
from swin_dense.checkpoints.pretrained_windows import (
    choose_pretrained_windows,
    pretrained_windows,
    recorded_windows,
    stage_number,
)
from swin_dense.checkpoints.windows import find_window
from swin_dense.ops.grid import Grid

_FAMILIES = {**FAMILIES, 'v1': 'Swin V1 for images'}


class AdaptedWeights(NamedTuple):
    """Weights whose position biases and embeddings fit a model.

    Attributes:
        state_dict: Native names and values, including those that the model
            does not have.
        resized: Native names of the tensors that were resized.
        notes: A line for each kind of change.
        pretrained_windows: Pretrained window to set in each attention module
            of a Swin V2, in tokens per axis.
    """

    state_dict: StateDict
    resized: list[str]
    notes: list[str]
    pretrained_windows: dict[str, Grid]


def adapt_backbone(
    model: nn.Module,
    file: BackboneFile,
    *,
    method: str = 'bicubic',
    source_window: Grid | None = None,
    inflating: bool = False,
) -> AdaptedWeights:
    """Adapt position biases and embeddings of a checkpoint to a model.

    The bias tables of V1 and absolute embeddings are resized. The log-MLP of
    V2 computes the bias of any window, but must go on to see the coordinates
    that it was trained with. So its pretrained window is taken from the
    checkpoint, unless the model was given one.

    Args:
        model: Backbone with native names.
        file: Backbone of the checkpoint.
        method: Method to resize bias tables: `bicubic` or `geometric`.
        source_window: Window of the bias tables in the checkpoint, in tokens
            per axis, if the checkpoint does not record it.
        inflating: If true, weights for images may become weights for clips.

    Raises:
        ValueError: If the checkpoint is of another member of the family than
            the model, or its window cannot be found.
    """
    model_state = model.state_dict()
    weights = file.weights
    notes = []
    inflates = needs_inflation(weights, model_state, inflating)
    modules: dict[str, Any] = dict(model.named_modules())
    model_windows: dict[str, Grid] = {
        name: modules[name.rpartition('.')[0]].window_size
        for name in model_state
        if name.endswith(TABLE)
    }
    expected = {
        name: window[1:] if inflates else window
        for name, window in model_windows.items()
    }
    windows = source_windows(file, source_window, expected)
    if inflates:
        depth = next(iter(model_windows.values()), (0,))[0]
        patch_depth = model_state[PATCH].shape[2]
        weights = inflate(weights, depth, patch_depth)
        # The norm of a classifier becomes that of the last output.
        names = {name: name for name in weights}
        names = replace_prefix(names, 'norm.', last_norm(names))
        weights = {names[name]: value for name, value in weights.items()}
        windows = {name: (depth, *window) for name, window in windows.items()}
        bias = (
            f'bias tables repeated for {2 * depth - 1} offsets in time'
            if depth
            else 'log-MLP extended by offsets in time, of weight 0'
        )
        notes.append(
            f'inflated from images: {bias}, patch embedding spread over '
            f'{patch_depth} frames'
        )
    adapted: StateDict = {}
    resized: list[str] = []
    changes: Counter[Resize] = Counter()
    for name, value in weights.items():
        if name in model_state:
            value, change = fit_position(
                model, name, value, method, windows.get(name)
            )
            if change:
                changes[change] += 1
                resized.append(name)
        adapted[name] = value
    for change, count in changes.items():
        blocks = f' in {count} blocks' if count > 1 else ''
        notes.append(f'{change.what}{blocks}, {change.method}')
    pretrained, recorded = pretrained_windows(file), file.recorded
    if inflates:
        pretrained = _extend_in_time(pretrained, recorded, modules)
        recorded = {}
    chosen, window_notes = choose_pretrained_windows(
        model, pretrained, recorded
    )
    return AdaptedWeights(adapted, resized, notes + window_notes, chosen)


def _extend_in_time(
    windows: Mapping[str, Grid],
    recorded: Mapping[str, Any],
    modules: Mapping[str, Any],
) -> dict[str, Grid]:
    """Return pretrained windows of clips for those of images.

    Weights for images have seen no offsets in time, so the model's own window
    sets their scale.

    Args:
        windows: Pretrained window (height, width) by attention module; 0 for
            the window in use.
        recorded: Metadata that this package recorded in the checkpoint.
        modules: Modules of the model by name.
    """
    nominal = recorded_windows(recorded)
    extended = {}
    for path, window in windows.items():
        if not any(window):
            window = nominal.get(stage_number(path), window)
        depth = modules[path].window_size[0] if any(window) else 0
        extended[path] = (depth, *window)
    return extended


def source_windows(
    file: BackboneFile,
    source_window: Grid | None = None,
    expected: Mapping[str, Grid] | None = None,
) -> dict[str, Grid]:
    """Return the window of each bias table of a checkpoint.

    Args:
        file: Backbone of the checkpoint.
        source_window: Window in tokens per axis, if the caller knows it.
        expected: Windows by native name that decide if several fit.

    Returns:
        Window in tokens per axis by native name of the table.

    Raises:
        ValueError: If a window cannot be found, see `find_window`.
    """
    axes = 3 if family(file.weights) == 'video' else 2
    known = source_window or file.recorded.get('window')
    windows = {}
    for name, table in file.weights.items():
        if not name.endswith(TABLE):
            continue
        if known:
            windows[name] = tuple(known)
            continue
        index_name = file.origin[name].replace(
            TABLE, 'relative_position_index'
        )
        windows[name] = find_window(
            len(table),
            axes,
            file.stored.get(index_name),
            (expected or {}).get(name),
        )
    return windows


def needs_inflation(
    weights: Mapping[str, Tensor],
    model_state: Mapping[str, Tensor],
    inflating: bool,
) -> bool:
    """Return True if weights for images have to be inflated for a model.

    Args:
        weights: Native names and values of the checkpoint.
        model_state: State_dict of the model.
        inflating: If true, inflation is allowed.

    Raises:
        ValueError: If the checkpoint is of another member of the family than
            the model, and inflation is impossible or not allowed.
    """
    in_file, in_model = family(weights), family(model_state)
    if in_file == in_model:
        return False
    problem = f'holds {_FAMILIES[in_file]}, the model is {_FAMILIES[in_model]}'
    if INFLATED_FROM.get(in_model) == in_file:
        if inflating:
            return True
        raise ValueError(
            f'{problem}: to repeat the weights in time, load them with '
            'inflate=True (in a config: pretrained2d=True)'
        )
    raise ValueError(
        f'{problem}: their weights cannot be turned into each other. Take a '
        f'file of {_FAMILIES[in_model]}, or a model of {_FAMILIES[in_file]}'
    )
