"""Decode frames with OpenCV."""

import os
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from swin_dense.data.decoders.base import Decoder, VideoError


class OpenCVDecoder(Decoder):
    """Decodes with OpenCV, from the first frame on: its seek is not exact."""

    name = 'opencv'

    def _capture(self) -> cv2.VideoCapture:
        self._check_name()
        capture = cv2.VideoCapture(os.path.abspath(self.path))
        if not capture.isOpened():
            raise VideoError(f'{self.path} cannot be opened by OpenCV')
        self._check_size(
            capture.get(cv2.CAP_PROP_FRAME_WIDTH),
            capture.get(cv2.CAP_PROP_FRAME_HEIGHT),
        )
        return capture

    def _open(self) -> int:
        capture = self._capture()
        self.fps = capture.get(cv2.CAP_PROP_FPS) or None
        count = 0
        while capture.grab():
            count += 1
        capture.release()
        return count

    def _read(self, wanted: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        capture = self._capture()
        index = -1
        for target in wanted:
            while index < target and capture.grab():
                index += 1
            done, pixels = capture.retrieve()
            if index < target or not done:
                raise VideoError(
                    f'{self.path}: frame {target} cannot be decoded'
                )
            yield target, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
        capture.release()
