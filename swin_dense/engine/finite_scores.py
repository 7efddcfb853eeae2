"""Refuse predictions that are NaN or infinite."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from swin_dense.checkpoints.finite import is_finite
from swin_dense.engine.nonfinite_origin import tensors_of
from swin_dense.ops import is_traced


def check_scores(
    values: Tensor | np.ndarray, what: str, source: str = ''
) -> None:
    """Check that predictions of a model are finite.

    Args:
        values: Predictions of any shape.
        what: Their plural noun, such as 'scores'.
        source: The image or video that they are for.

    Raises:
        ValueError: If a value is NaN or infinite.
    """
    if not is_finite(torch.as_tensor(values)):
        place = f' for {source}' if source else ''
        raise ValueError(
            f'the model returned NaN or infinite {what}{place}: training has '
            'diverged, or the type of numbers is too small. Use an earlier '
            'checkpoint, start again with a lower learning rate, or compute '
            'in float32'
        )


def refuse_nonfinite_features(model: nn.Module) -> None:
    """Let a model raise where the features of its backbone are not finite.

    Detectors drop boxes with a score of NaN, so that nothing would be found.
    """
    backbone = getattr(model, 'backbone', None)
    if isinstance(backbone, nn.Module):
        backbone.register_forward_hook(_check_features)


def _check_features(module: nn.Module, args: Any, outputs: Any) -> None:
    if is_traced():  # the tensors of an exporter have no values
        return
    for features in tensors_of(outputs):
        check_scores(features, 'features')
