"""Decode frames with decord."""

import os
from collections.abc import Iterator, Sequence

import numpy as np

from swin_dense.data.decoders.base import Decoder


class DecordDecoder(Decoder):
    """Decodes with decord, by decord's own frame numbers.

    These are exact in MP4, MKV and WebM files. In MPEG streams decord returns
    other frames than requested, so it is the last decoder to be tried.
    """

    name = 'decord'

    @staticmethod
    def is_available() -> bool:
        """Return True if decord is installed and loads."""
        try:
            from decord import VideoReader  # noqa: F401
        except (ImportError, OSError, RuntimeError):
            return False
        return True

    def _open(self) -> int:
        import decord

        self._check_name()
        self._failure = (decord.DECORDError, RuntimeError, IndexError)
        try:
            self._reader = decord.VideoReader(
                os.path.abspath(self.path), num_threads=self.num_threads
            )
        except self._failure as error:
            raise self._fails(error) from None
        self.fps = float(self._reader.get_avg_fps()) or None
        return len(self._reader)

    def _read(self, wanted: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        try:
            frames = self._reader.get_batch(list(wanted)).asnumpy()
        except self._failure as error:
            raise self._fails(error) from None
        yield from zip(wanted, frames)

    def close(self) -> None:
        """Close the file."""
        self._reader = None
