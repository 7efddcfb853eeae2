"""What reads clips, besides PyAV: OpenCV, decord, or a folder of images."""
import os
import re
from pathlib import Path
from typing import Dict, Iterator, Sequence, Tuple, Type

import cv2
import numpy as np

from swin_dense.datasets.decoder import Decoder, VideoError
from swin_dense.datasets.image_files import read_image
from swin_dense.datasets.pyav_decoder import PyAVDecoder

__all__ = ['DECODERS', 'Decoder', 'FrameFolder', 'VideoError']

PICTURES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
# What tools that extract optical flow put beside the frames.
FLOW = 'flow_'


class DecordDecoder(Decoder):
    """Frames by decord, as it counts them.

    That is exact in MP4, MKV and WebM files. In MPEG streams it takes other
    frames than those asked for, so it comes last.
    """
    name = 'decord'

    @staticmethod
    def is_available() -> bool:
        """Whether decord is installed and loads."""
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
                os.path.abspath(self.path), num_threads=self.num_threads)
        except self._failure as error:
            raise self._fails(error) from None
        self.fps = float(self._reader.get_avg_fps()) or None
        return len(self._reader)

    def _read(self, wanted: Sequence[int]) -> Iterator[Tuple[int, np.ndarray]]:
        try:
            frames = self._reader.get_batch(list(wanted)).asnumpy()
        except self._failure as error:
            raise self._fails(error) from None
        yield from zip(wanted, frames)

    def close(self) -> None:
        """Close the file."""
        self._reader = None


class OpenCVDecoder(Decoder):
    """Frames by OpenCV, whose seeking is not exact: from the start, counted.
    """
    name = 'opencv'

    def _capture(self) -> cv2.VideoCapture:
        self._check_name()
        capture = cv2.VideoCapture(os.path.abspath(self.path))
        if not capture.isOpened():
            raise VideoError(f'{self.path} cannot be opened by OpenCV')
        self._check_size(
            capture.get(cv2.CAP_PROP_FRAME_WIDTH),
            capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        return capture

    def _open(self) -> int:
        capture = self._capture()
        self.fps = capture.get(cv2.CAP_PROP_FPS) or None
        count = 0
        while capture.grab():
            count += 1
        capture.release()
        return count

    def _read(self, wanted: Sequence[int]) -> Iterator[Tuple[int, np.ndarray]]:
        capture = self._capture()
        index = -1
        for target in wanted:
            while index < target and capture.grab():
                index += 1
            done, pixels = capture.retrieve()
            if index < target or not done:
                raise VideoError(
                    f'{self.path}: frame {target} cannot be decoded')
            yield target, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
        capture.release()


class FrameFolder(Decoder):
    """Frames that are image files of one folder, in the order of their names.

    Numbers in names count as numbers, so that 10 follows 9; images of optical
    flow (`flow_*`) are left out.
    """
    name = 'folder'

    def _open(self) -> int:
        names = [
            path.name for path in Path(self.path).iterdir() if
            path.suffix.lower() in PICTURES and not path.name.startswith(FLOW)
        ]
        self._names = sorted(
            names,
            key=lambda name: [(len(part.lstrip('0')), part.lstrip('0'))
                              if part.isdigit() else (0, part)
                              for part in re.split(r'(\d+)', name)])
        return len(names)

    def _read(self, wanted: Sequence[int]) -> Iterator[Tuple[int, np.ndarray]]:
        for index in wanted:
            path = Path(self.path, self._names[index])
            try:
                pixels = read_image(path)
            except (FileNotFoundError, ValueError) as error:
                raise VideoError(str(error)) from None
            yield index, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


DECODERS: Dict[str, Type[Decoder]] = {
    decoder.name: decoder
    for decoder in (PyAVDecoder, OpenCVDecoder, DecordDecoder)
}
"""By name, the best first."""
