"""Making a backbone's weights fit a model of another window or rank."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from swin_dense.checkpoints.layouts.tensors import StateDict
from swin_dense.checkpoints.layouts.translate import BackboneFile
from swin_dense.checkpoints.native import FAMILIES, family, last_norm, renamed
from swin_dense.checkpoints.position import (
    PATCH,
    TABLE,
    Resize,
    fit_position,
    inflate,
)
from swin_dense.checkpoints.pretrained_windows import (
    fit_coordinates,
    pretrained_windows,
)
from swin_dense.checkpoints.windows import find_window
from swin_dense.ops.grid import Grid

_FAMILIES = {**FAMILIES, 'v1': 'Swin V1 for images'}


class AdaptedWeights(NamedTuple):
    """Weights that fit the model as far as its window is concerned.

    Attributes:
        state_dict: Native names and values, also of what the model does not
            have.
        resized: Native names of what was changed.
        notes: What was done, in a line each.
        coordinates: Attention modules of the model that have to normalise
            their log coordinates by another window than they do.
    """

    state_dict: StateDict
    resized: list[str]
    notes: list[str]
    coordinates: dict[str, Grid]


def fit_backbone(
    model: nn.Module,
    converted: BackboneFile,
    stored: Mapping[str, Tensor],
    recorded: Mapping[str, Any],
    *,
    method: str = 'bicubic',
    source_window: Grid | None = None,
    inflating: bool = False,
) -> AdaptedWeights:
    """Transfer position biases and embeddings to a model.

    V1 tables and absolute embeddings are resized. V2 has none to resize: its
    network is evaluated for the new window, but must go on to see the
    coordinates that it was trained with, so the model learns from the file by
    which window they are divided, unless it was told so itself.

    Args:
        model: Backbone with native names.
        converted: The backbone of the file.
        stored: All tensors of the file under its own names; buffers among
            them tell windows.
        recorded: What the tools of this package wrote into the file.
        method: How bias tables are resized: `bicubic` or `geometric`.
        source_window: Window of the file's tables, where it does not say.
        inflating: Whether weights for images may become weights for clips.

    Raises:
        ValueError: If the file is of another member of the family than the
            model, or its window cannot be told.
    """
    own = model.state_dict()
    weights = converted.state_dict
    notes = []
    inflates = check_family(weights, own, inflating)
    modules: dict[str, Any] = dict(model.named_modules())
    expected: dict[str, Grid] = {
        name: modules[name.rpartition('.')[0]].window_size
        for name in own
        if name.endswith(TABLE)
    }
    given = {
        name: window[1:] if inflates else window
        for name, window in expected.items()
    }
    windows = source_windows(converted, stored, recorded, source_window, given)
    if inflates:
        depth = next(iter(expected.values()))[0]
        patch = own[PATCH].shape[2]
        weights = inflate(weights, depth, patch)
        places = {name: name for name in weights}
        places = renamed(places, 'norm.', last_norm(places))
        weights = {places[name]: value for name, value in weights.items()}
        windows = {name: (depth, *window) for name, window in windows.items()}
        notes.append(
            f'inflated from images: bias tables repeated for {2 * depth - 1} '
            f'offsets in time, patch embedding spread over {patch} frames'
        )
    fitted: StateDict = {}
    resized: list[str] = []
    changes: Counter[Resize] = Counter()
    for name, value in weights.items():
        if name in own:
            value, change = fit_position(
                model, name, value, method, windows.get(name)
            )
            if change:
                changes[change] += 1
                resized.append(name)
        fitted[name] = value
    for change, count in changes.items():
        blocks = f' in {count} blocks' if count > 1 else ''
        notes.append(f'{change.what}{blocks}, {change.method}')
    coordinates, told = fit_coordinates(
        model, pretrained_windows(converted, stored, recorded), recorded
    )
    return AdaptedWeights(fitted, resized, notes + told, coordinates)


def source_windows(
    converted: BackboneFile,
    stored: Mapping[str, Tensor],
    recorded: Mapping[str, Any],
    given: Grid | None = None,
    expected: Mapping[str, Grid] | None = None,
) -> dict[str, Grid]:
    """The window of each bias table of a file.

    Args:
        converted: The backbone of the file.
        stored: All tensors of the file under its own names.
        recorded: What the tools of this package wrote into the file.
        given: The window, where the caller knows.
        expected: Windows by native name to decide for where several fit.

    Returns:
        Native names and windows in tokens.

    Raises:
        ValueError: If a window cannot be told.
    """
    axes = 3 if family(converted.state_dict) == 'video' else 2
    known = given or recorded.get('window')
    windows = {}
    for name, value in converted.state_dict.items():
        if name.endswith(TABLE):
            index = converted.origin[name].replace(
                TABLE, 'relative_position_index'
            )
            windows[name] = (
                tuple(known)
                if known
                else find_window(
                    len(value),
                    axes,
                    stored.get(index),
                    (expected or {}).get(name),
                )
            )
    return windows


def check_family(
    weights: Mapping[str, Tensor], own: Mapping[str, Tensor], inflating: bool
) -> bool:
    """Whether weights have to be inflated for a model.

    Args:
        weights: Native names and values of the file.
        own: Of the model.
        inflating: Whether they may be.

    Raises:
        ValueError: If the file is of another member of the family than the
            model, and cannot or may not be turned into it.
    """
    theirs, mine = family(weights), family(own)
    if theirs == mine:
        return False
    text = f'holds {_FAMILIES[theirs]}, the model is {_FAMILIES[mine]}'
    if (theirs, mine) == ('v1', 'video'):
        if inflating:
            return True
        raise ValueError(
            f'{text}: to repeat the weights in time, load them with '
            'inflate=True (SwinTransformer3D: pretrained2d=True)'
        )
    raise ValueError(
        f'{text}: their weights cannot be turned into each other. Take a '
        f'file of {_FAMILIES[mine]}, or a model of {_FAMILIES[theirs]}'
    )
