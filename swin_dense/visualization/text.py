"""Draw antialiased text into images, in a font that has its letters."""

import logging
import unicodedata
from functools import cache, lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.font_manager import fontManager
from matplotlib.ft2font import FT2Font
from mmengine.logging import print_log
from PIL import ImageFont

try:
    from anyascii import anyascii as transliterate
except ImportError:

    def transliterate(string: str) -> str:
        """Return no letters; the package anyascii is not installed."""
        return ''


from swin_dense.visualization.palette import Colour

# The font Last Resort draws a box with a code for any letter.
PLACEHOLDER = 'LastResort'


@lru_cache(maxsize=64)
def font(path: str, size: int) -> ImageFont.FreeTypeFont:
    """Load a font at a height in pixels."""
    return ImageFont.truetype(path, size)


def default_font(bold: bool = False) -> str:
    """Return the path of DejaVu Sans, which matplotlib brings."""
    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    return str(Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / name)


@cache
def _letters(path: str) -> frozenset[str]:
    """Return the characters of a font; none if it cannot be read."""
    try:
        return frozenset(map(chr, FT2Font(path).get_charmap()))
    except (OSError, RuntimeError):
        return frozenset()


@cache
def installed_fonts() -> list[str]:
    """Return the paths of all fonts that matplotlib finds, sorted."""
    paths = {entry.fname for entry in fontManager.ttflist}
    return sorted(path for path in paths if PLACEHOLDER not in path)


@cache
def _report_missing(letters: str) -> None:
    """Log letters that no font has; `cache` does so once for each text."""
    print_log(
        f'no installed font has the letters {letters!r}: pictures show them '
        'in Latin letters, or their numbers in Unicode. Install a font that '
        'has them, such as Noto Sans or Noto Sans CJK',
        'current',
        logging.WARNING,
    )


def _decompose(letter: str) -> str:
    """Return the ASCII letters that a letter consists of; '' if of others."""
    plain = unicodedata.normalize('NFKD', letter)
    if plain.isascii() and plain.isprintable():
        return plain
    return ' ' if unicodedata.category(letter).startswith('Z') else ''


def _spell(letter: str) -> str:
    """Replace a letter that no font has by ASCII letters.

    A letter without a decomposition into ASCII is transliterated by the
    package anyascii: 'Qi' for U+6C7D. Without the package, or a
    transliteration, it becomes its code, as in 'U+6C7D '.
    """
    for plain in (_decompose(letter), transliterate(letter)):
        if plain and plain.isprintable():
            return plain
    return f'U+{ord(letter):04X} '


@lru_cache(maxsize=4096)
def choose_font(text: str, bold: bool = False) -> tuple[str, str]:
    """Choose a font that has all letters of a text.

    DejaVu Sans is preferred, then the first installed font with all letters.
    If there is none, the letters that DejaVu Sans lacks are replaced by ASCII
    letters or by their codes in Unicode, see `_spell`, which is logged once.

    Returns:
        Path of the font, and the text to draw.
    """
    path = default_font(bold)
    missing = [letter for letter in text if letter not in _letters(path)]
    if not missing:
        return path, text
    for other in installed_fonts():
        if _letters(other).issuperset(text):
            return other, text
    spelled = ''.join(
        _spell(letter) if letter in missing else letter for letter in text
    )
    if not all(map(_decompose, missing)):
        _report_missing(''.join(sorted({*missing})))
    return path, spelled.rstrip()


def text_size(text: str, size: int, bold: bool = False) -> tuple[int, int]:
    """Return width and line height of a text in pixels.

    Args:
        text: One line.
        size: Font height in pixels.
        bold: If True, use the bold face.
    """
    path, text = choose_font(text, bold)
    face = font(path, size)
    # All lines of a picture have the height of the default font.
    height = sum(font(default_font(bold), size).getmetrics())
    return int(np.ceil(face.getlength(text))), height


def put_text(
    image: np.ndarray,
    text: str,
    corner: tuple[int, int],
    size: int,
    colour: Colour,
    bold: bool = False,
) -> None:
    """Write a text into an image, in place, clipped to the image.

    Args:
        image: (H, W, 3) uint8, BGR.
        text: One line.
        corner: x and y of the line's top left, in pixels.
        size: Font height in pixels.
        colour: (blue, green, red).
        bold: If True, use the bold face.
    """
    path, text = choose_font(text, bold)
    glyphs, (left, top) = font(path, size).getmask2(text, mode='L')
    width, height = glyphs.size
    if not width or not height:
        return
    alpha: np.ndarray = np.asarray(glyphs, dtype=np.float32)
    alpha = alpha.reshape(height, width, 1)  # (h, w, 1)
    x, y = corner[0] + left, corner[1] + top
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + width, image.shape[1]), min(y + height, image.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    alpha = alpha[y0 - y : y1 - y, x0 - x : x1 - x] / 255
    region = image[y0:y1, x0:x1]
    ink = np.array(colour, dtype=np.float32)
    region[:] = (region + alpha * (ink - region) + 0.5).astype(np.uint8)
