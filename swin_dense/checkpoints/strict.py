"""Strict loading of a state_dict: all tensors fit, or none is loaded."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from mmengine.logging import MMLogger
from torch import nn

from swin_dense.checkpoints.finite import check_numbers
from swin_dense.checkpoints.layouts.tensors import StateDict
from swin_dense.checkpoints.load_hints import Hints
from swin_dense.checkpoints.report import LoadReport, mismatch_error


def matches_any(name: str, patterns: Sequence[str]) -> bool:
    """Return True if a name matches one of the patterns of `fnmatch`."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def load_strictly(
    model: nn.Module,
    weights: StateDict,
    report: LoadReport,
    is_forgiven: Callable[[str], bool],
    hints: Hints,
    origin: Mapping[str, str] | None = None,
    allow_nonfinite: Sequence[str] = (),
) -> None:
    """Load weights into a model, fill the report and log its summary.

    The model is not changed unless everything fits.

    Args:
        model: Model to load into.
        weights: State_dict under the model's names.
        report: Report whose lists are filled.
        is_forgiven: Function that returns True for a name that may be
            missing, unexpected or of another shape.
        hints: Function that returns sentences on the likely cause, from the
            shapes that differ and the names that are missing.
        origin: Names in the checkpoint, for errors and report.
        allow_nonfinite: See `check_numbers`.

    Raises:
        CheckpointError: If names or shapes differ that are not forgiven, or
            if weights are not floating-point or not finite.
    """
    weights = _local_experts(model, weights)
    model_state = model.state_dict()
    shapes = {
        name: (tuple(value.shape), tuple(model_state[name].shape))
        for name, value in weights.items()
        if name in model_state and value.shape != model_state[name].shape
    }
    fitting = {
        name: value
        for name, value in weights.items()
        if name in model_state and name not in shapes
    }
    missing = [name for name in model_state if name not in weights]
    unexpected = [name for name in weights if name not in model_state]

    def in_checkpoint(names: Iterable[str]) -> list[str]:
        return [(origin or {}).get(name, name) for name in names]

    def unforgiven(names: Iterable[str]) -> list[str]:
        return [name for name in names if not is_forgiven(name)]

    described = f'{report.label} ({report.source_format})'
    wrong_shapes = {name: shapes[name] for name in unforgiven(shapes)}
    wrong_missing = unforgiven(missing)
    wrong_unexpected = unforgiven(unexpected)
    if wrong_missing or wrong_unexpected or wrong_shapes:
        raise mismatch_error(
            described,
            len(model_state),
            wrong_missing,
            in_checkpoint(wrong_unexpected),
            wrong_shapes,
            hints(wrong_shapes, wrong_missing),
        )
    check_numbers(fitting, described, model_state, allow_nonfinite, origin)
    report.loaded = [name for name in fitting if name not in report.resized]
    report.missing = missing + list(shapes)
    report.unexpected = in_checkpoint([*unexpected, *shapes])
    model.load_state_dict(fitting, strict=False)
    MMLogger.get_current_instance().info(report.summary())


def _local_experts(model: nn.Module, weights: StateDict) -> StateDict:
    """Return weights with those experts alone that this process holds.

    The experts of a `SwinMoE` may be spread over processes, see
    `split_experts`.
    """
    result = dict(weights)
    modules: dict[str, Any] = dict(model.named_modules())
    for path, module in modules.items():
        exchange = getattr(module, 'exchange', None)
        for name, _ in module.named_parameters(recurse=False):
            key = f'{path}.{name}'
            if exchange and len(weights.get(key, ())) == module.num_experts:
                result[key] = weights[key][exchange.rows]
    return result
