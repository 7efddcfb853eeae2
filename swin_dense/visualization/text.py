"""Antialiased text on images, in a font that every installation has."""
from functools import lru_cache
from pathlib import Path
from typing import Tuple

import matplotlib
import numpy as np
from PIL import ImageFont

from swin_dense.visualization.palette import Colour


@lru_cache(maxsize=16)
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings, at a height in pixels."""
    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    folder = Path(matplotlib.get_data_path()) / 'fonts' / 'ttf'
    return ImageFont.truetype(str(folder / name), size)


def text_size(text: str, size: int, bold: bool = False) -> Tuple[int, int]:
    """Width and line height of a text in pixels."""
    face = font(size, bold)
    return int(np.ceil(face.getlength(text))), sum(face.getmetrics())


def put_text(image: np.ndarray,
             text: str,
             corner: Tuple[int, int],
             size: int,
             colour: Colour,
             bold: bool = False) -> None:
    """Write a text into an image, in place; what is outside is cut off.

    Args:
        image: (H, W, 3) uint8.
        text: One line.
        corner: x and y of the line's top left, in pixels.
        size: Font height in pixels.
        colour: (blue, green, red).
        bold: Whether to use the bold face.
    """
    glyphs, (left, top) = font(size, bold).getmask2(text, mode='L')
    width, height = glyphs.size
    if not width or not height:
        return
    alpha = np.asarray(glyphs, dtype=np.float32).reshape(height, width, 1)
    x, y = corner[0] + left, corner[1] + top
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + width, image.shape[1]), min(y + height, image.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    alpha = alpha[y0 - y:y1 - y, x0 - x:x1 - x] / 255
    region = image[y0:y1, x0:x1]
    ink = np.array(colour, dtype=np.float32)
    region[:] = (region + alpha * (ink - region) + 0.5).astype(np.uint8)
