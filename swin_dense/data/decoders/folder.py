"""Read frames from the image files of a folder."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from swin_dense.data.decoders.base import Decoder, VideoError
from swin_dense.data.image_files import read_image

PICTURES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
# Name prefix of the optical flow that extraction tools put beside the frames.
FLOW = 'flow_'


class FrameFolder(Decoder):
    """Reads frames from the image files of a folder, ordered by name.

    Digits in names are compared as numbers, so that 10 follows 9. Images of
    optical flow (`flow_*`) are left out.
    """

    name = 'folder'

    def _open(self) -> int:
        names = [
            path.name
            for path in Path(self.path).iterdir()
            if path.suffix.lower() in PICTURES
            and not path.name.startswith(FLOW)
        ]
        self._names = sorted(
            names,
            key=lambda name: [
                (len(part.lstrip('0')), part.lstrip('0'))
                if part.isdigit()
                else (0, part)
                for part in re.split(r'(\d+)', name)
            ],
        )
        return len(names)

    def _read(self, wanted: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        for index in wanted:
            path = Path(self.path, self._names[index])
            try:
                pixels = read_image(path)
            except (FileNotFoundError, ValueError) as error:
                raise VideoError(str(error)) from None
            yield index, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
