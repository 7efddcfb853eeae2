"""The scores of a window in time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Scores:
    """The scores of a window in time.

    Attributes:
        first: First frame of the window, counted from 0.
        last: Last frame of the window.
        start: Start of the first frame in seconds from the start of the
            video; None if the file has no times.
        end: End of the last frame in seconds; None if the file has no times.
        values: A probability for each class `(C,)`.
    """

    first: int
    last: int
    start: float | None
    end: float | None
    values: np.ndarray

    def top(self, classes: Sequence[str], k: int) -> list[dict[str, Any]]:
        """Return the k most probable classes; see `top_classes`."""
        return top_classes(self.values, classes, k)


def top_classes(
    values: np.ndarray, classes: Sequence[str], k: int
) -> list[dict[str, Any]]:
    """Return label, name and score of the k highest scores, descending.

    Args:
        values: Scores `(C,)`.
        classes: Class names in label order.
        k: Number of classes to return.
    """
    order = np.argsort(-values, kind='stable')[:k]
    return [
        {
            'label': int(label),
            'name': classes[label],
            'score': float(values[label]),
        }
        for label in order
    ]
