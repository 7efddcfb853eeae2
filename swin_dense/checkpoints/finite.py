"""Checks that weights are floating-point numbers, and finite."""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.native import RECOMPUTED
from swin_dense.wording import first_few

_COUNTS = 'num_batches_tracked'


def check_numbers(
    weights: Mapping[str, Tensor],
    label: str,
    expected: Mapping[str, Tensor] | None = None,
    allow_nonfinite: Sequence[str] = (),
    origin: Mapping[str, str] | None = None,
) -> None:
    """Check that all weights are numbers that a model can use.

    Args:
        weights: State_dict to load.
        label: Name of the checkpoint in errors.
        expected: The model's tensors of the same names, whose types the
            weights must have; by default all weights must be floating-point.
        allow_nonfinite: Patterns of `fnmatch` for names that may hold NaN or
            infinite values.
        origin: Name in the checkpoint of each weight, for errors.

    Raises:
        CheckpointError: If a tensor is of an integer type and the model's is
            floating-point, or the reverse; or if it holds NaN or infinite
            values, or values too large for the type of the model's.
    """
    origin = origin or {}
    wrong_types = [
        f'{origin.get(name, name)}: {dtype} in the file, {needed} needed'
        for name, dtype, needed in _wrong_types(weights, expected)
    ]
    if wrong_types:
        raise CheckpointError(
            f'{label} holds {len(wrong_types)} tensors of another type '
            f'({first_few(wrong_types, separator="; ")}): it is damaged, or '
            'no checkpoint of this kind of model'
        )
    nonfinite = [
        origin.get(name, name)
        for name, value in weights.items()
        if not any(fnmatchcase(name, pattern) for pattern in allow_nonfinite)
        and not is_finite(value, expected[name].dtype if expected else None)
    ]
    if nonfinite:
        raise CheckpointError(
            f'{label} holds NaN or infinite numbers in {len(nonfinite)} of '
            f'{len(weights)} tensors ({first_few(nonfinite)}): its training '
            'diverged, or it is damaged. Use an earlier checkpoint, or name '
            'the tensors that may hold them in allow_nonfinite'
        )


def is_finite(value: Tensor, dtype: torch.dtype | None = None) -> bool:
    """Return True if a tensor has neither NaN nor infinite values.

    Args:
        value: The tensor.
        dtype: Floating type that it will be converted to. Values too large
            for this type become infinite.
    """
    if value.is_complex():
        return bool(torch.isfinite(value).all())
    if not value.is_floating_point() or not value.numel():
        return True
    if value.element_size() == 1:  # aminmax does not take 8-bit floats
        value = value.float()
    # One pass without a copy; if there is a NaN, both extremes are NaN.
    extremes = torch.stack(torch.aminmax(value))
    return bool(torch.isfinite(extremes.to(dtype or value.dtype)).all())


def _wrong_types(
    weights: Mapping[str, Tensor], expected: Mapping[str, Tensor] | None
) -> Iterator[tuple[str, torch.dtype, torch.dtype]]:
    """Yield name, type and needed type of each weight of another kind."""
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
