"""Read frames from an array."""

from collections.abc import Iterator, Sequence

import numpy as np

from swin_dense.data.decoders.base import Decoder


class FrameArray(Decoder):
    """Reads frames from an array, which has no times.

    Args:
        frames: Frames `(T, H, W, 3)` in RGB, uint8.
        name: Name of the clip, for messages.
    """

    name = 'array'

    def __init__(self, frames: np.ndarray, name: str = 'the array') -> None:
        self._frames = frames
        super().__init__(name)

    def _open(self) -> int:
        return len(self._frames)

    def _read(self, wanted: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        for index in wanted:
            # A copy, since transforms may flip frames in place.
            yield index, np.array(self._frames[index])
