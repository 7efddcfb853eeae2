"""Draw antialiased text into images, in fonts that have its letters."""

import logging
import re
import unicodedata
from functools import cache, lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.font_manager import findSystemFonts
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
# Faces that are taken only where no plain one has the letters.
_FACES = re.compile(
    'bold|black|heavy|light|thin|italic|oblique|condensed|narrow|mono|serif',
    re.I,
)


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
    """Return the paths of all fonts of the system, plain sans serif first.

    The system is searched anew in each process: matplotlib's own list is
    kept in a file and lacks fonts that were installed later.
    """
    paths = {str(path) for path in findSystemFonts()}
    return sorted(
        (path for path in paths if PLACEHOLDER not in path),
        key=lambda path: (bool(_FACES.search(Path(path).stem)), path),
    )


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
def choose_fonts(text: str, bold: bool = False) -> list[tuple[str, str]]:
    """Choose fonts that have the letters of a text.

    DejaVu Sans is preferred, then the first installed font with all letters,
    then a font for each part of the text. Letters that no font has are
    replaced by ASCII letters or by their codes in Unicode, see `_spell`,
    which is logged once.

    Returns:
        For each part of the text the path of its font, and what to draw.
    """
    default = default_font(bold)
    if _letters(default).issuperset(text):
        return [(default, text)]
    for path in installed_fonts():
        if _letters(path).issuperset(text):
            return [(path, text)]
    parts: list[tuple[str, str]] = []
    missing = set()
    for letter in text:
        last = [parts[-1][0]] if parts else []
        for path in (default, *last, *installed_fonts()):
            if letter in _letters(path):
                break
        else:
            path = default
            if not _decompose(letter):
                missing.add(letter)
            letter = _spell(letter)
        if parts and parts[-1][0] == path:
            letter = parts.pop()[1] + letter
        parts.append((path, letter))
    if missing:
        _report_missing(''.join(sorted(missing)))
    path, last_part = parts[-1]
    return [*parts[:-1], (path, last_part.rstrip())]


def text_size(text: str, size: int, bold: bool = False) -> tuple[int, int]:
    """Return width and line height of a text in pixels.

    Args:
        text: One line.
        size: Font height in pixels.
        bold: If True, use the bold face.
    """
    width = sum(
        font(path, size).getlength(part)
        for path, part in choose_fonts(text, bold)
    )
    # All lines of a picture have the height of the default font.
    height = sum(font(default_font(bold), size).getmetrics())
    return int(np.ceil(width)), height


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
    x: float = corner[0]
    # All fonts stand on the base line of the default font.
    base = corner[1] + font(default_font(bold), size).getmetrics()[0]
    for path, part in choose_fonts(text, bold):
        face = font(path, size)
        glyphs, (left, top) = face.getmask2(part, mode='L', anchor='ls')
        width, height = glyphs.size
        if width and height:
            alpha: np.ndarray = np.asarray(glyphs, dtype=np.float32)
            _blend(
                image,
                alpha.reshape(height, width, 1) / 255,  # (h, w, 1)
                (round(x) + left, base + top),
                colour,
            )
        x += face.getlength(part)


def _blend(
    image: np.ndarray,
    alpha: np.ndarray,
    corner: tuple[int, int],
    colour: Colour,
) -> None:
    """Paint a colour into an image, in place, clipped to the image.

    Args:
        image: (H, W, 3) uint8, BGR.
        alpha: Opacity (h, w, 1), 0 to 1.
        corner: x and y of the top left of `alpha` in the image.
        colour: (blue, green, red).
    """
    x, y = corner
    x0, y0 = max(x, 0), max(y, 0)
    x1 = min(x + alpha.shape[1], image.shape[1])
    y1 = min(y + alpha.shape[0], image.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    alpha = alpha[y0 - y : y1 - y, x0 - x : x1 - x]
    region = image[y0:y1, x0:x1]
    ink = np.array(colour, dtype=np.float32)
    region[:] = (region + alpha * (ink - region) + 0.5).astype(np.uint8)
