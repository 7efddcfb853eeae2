"""Checks of the numbers in weights: their kind, and that they are finite."""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.native import RECOMPUTED
from swin_dense.checkpoints.report import first_few

_COUNTS = 'num_batches_tracked'


def check_numbers(
    weights: Mapping[str, Tensor],
    label: str,
    expected: Mapping[str, Tensor] | None = None,
    allow_nonfinite: Sequence[str] = (),
    origin: Mapping[str, str] | None = None,
) -> None:
    """Raise unless all weights are numbers that a model can use.

    Args:
        weights: State_dict to be used.
        label: What errors call its checkpoint.
        expected: The model's tensors of the same names, with whose type each
            is compared; by default every weight must be of a floating type.
        allow_nonfinite: Patterns as of `fnmatch` for names that may hold NaN
            or infinite numbers.
        origin: The names to be shown in errors.

    Raises:
        CheckpointError: If a tensor is of an integer type where the model's
            is of a floating one, or the reverse; or holds NaN or infinite
            numbers, in the model's type.
    """
    origin = origin or {}
    kinds = [
        f'{origin.get(name, name)}: {dtype} in the file, {needed} needed'
        for name, dtype, needed in _wrong_types(weights, expected)
    ]
    if kinds:
        raise CheckpointError(
            f'{label} holds {len(kinds)} tensors of another type '
            f'({first_few(kinds, "; ")}): it is no checkpoint of such a '
            'model, or damaged'
        )
    infinite = [
        origin.get(name, name)
        for name, value in weights.items()
        if not any(fnmatchcase(name, pattern) for pattern in allow_nonfinite)
        and not is_finite(value, expected[name].dtype if expected else None)
    ]
    if infinite:
        raise CheckpointError(
            f'{label} holds NaN or infinite numbers in {len(infinite)} of '
            f'{len(weights)} tensors ({first_few(infinite)}): its training '
            'diverged, or it is damaged. Use an earlier checkpoint, or name '
            'what may hold them in allow_nonfinite'
        )


def is_finite(value: Tensor, dtype: torch.dtype | None = None) -> bool:
    """Return True if a tensor has neither NaN nor infinite numbers.

    Args:
        value: The tensor.
        dtype: Floating type that it will be converted to, where smaller
            numbers may be infinite.
    """
    if not value.is_floating_point() or not value.numel():
        return (
            bool(torch.isfinite(value).all()) if value.is_complex() else (True)
        )
    if value.element_size() == 1:
        value = value.float()
    # One pass, and no memory: NaN is either extreme.
    extremes = torch.stack(torch.aminmax(value))
    return bool(torch.isfinite(extremes.to(dtype or value.dtype)).all())


def _wrong_types(
    weights: Mapping[str, Tensor], expected: Mapping[str, Tensor] | None
) -> Iterator[tuple[str, torch.dtype, torch.dtype]]:
    for name, value in weights.items():
        if expected is not None:
            needed = expected[name].dtype
        elif RECOMPUTED.search(name) or name.endswith(_COUNTS):
            continue
        else:
            needed = torch.float32
        if (value.is_floating_point(), value.is_complex()) != (
            needed.is_floating_point,
            needed.is_complex,
        ):
            yield name, value.dtype, needed
