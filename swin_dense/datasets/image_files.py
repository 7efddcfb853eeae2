"""Reading image files, whatever their names, kinds and contents.

The bytes are read first and decoded then: OpenCV's own reader of files
crashes on names that are not UTF-8, and waits for a named pipe for ever.
"""
import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Iterator, NamedTuple, Optional, Tuple, Union

import cv2
import numpy as np
from PIL import Image, ImageFile

from swin_dense.files import UnreadableFileError, open_regular

__all__ = [
    'ImageHeader', 'is_truncated', 'max_pixels', 'open_image', 'pixel_problem',
    'read_header', 'read_image', 'read_pixels', 'stored_values'
]

EXIF_ORIENTATION = 0x0112
TURNED = (5, 6, 7, 8)
# How a complete file of these formats ends, within its last bytes.
ENDINGS = {'JPEG': b'\xff\xd9', 'MPO': b'\xff\xd9', 'PNG': b'IEND'}
TAIL = 64
NO_IMAGE = 'cannot be decoded: it is no image, or damaged'
TRUNCATED = 'is truncated: its pixels end early'
# The photographs of the largest phone cameras have as many.
MAX_PIXELS = 200_000_000
VARIABLE = 'SWIN_DENSE_MAX_PIXELS'
# Of a pixel in a file: four channels of 16 bits, not compressed.
MAX_BYTES_PER_PIXEL = 8

# PIL keeps its settings for the whole process: whoever changes one holds the
# lock until it is back.
_pil_settings = threading.RLock()


class ImageHeader(NamedTuple):
    """What the first bytes of an image file say.

    Attributes:
        kind: PIL's name of the format; None if PIL does not know it.
        width: As stored, in pixels.
        height: As stored, in pixels.
        turn: EXIF orientation, 1 to 8.
    """
    kind: Optional[str]
    width: int
    height: int
    turn: int

    @property
    def size(self) -> Tuple[int, int]:
        """Width and height as OpenCV loads it, which turns it upright."""
        if self.turn in TURNED:
            return self.height, self.width
        return self.width, self.height


def max_pixels() -> int:
    """Return the number of pixels that an image may have.

    The environment variable `SWIN_DENSE_MAX_PIXELS` replaces the default of
    200 million.

    Raises:
        ValueError: If the variable is no positive whole number.
    """
    text = os.environ.get(VARIABLE, str(MAX_PIXELS))
    if not text.isdecimal() or not int(text):
        raise ValueError(f'the environment variable {VARIABLE}={text!r} must '
                         'be a number of pixels, such as 400000000')
    return int(text)


def pixel_problem(width: int, height: int) -> Optional[str]:
    """Say that an image has more pixels than are allowed, if it has."""
    limit = max_pixels()
    if width * height <= limit:
        return None
    return (f'has {width}×{height} = {width * height:,} pixels; at most '
            f'{limit:,} are read, as a small file may unpack to any size. If '
            'it may be trusted, raise the limit by the environment variable '
            f'{VARIABLE}={width * height}')


@contextmanager
def _without_pil_limit() -> Iterator[None]:
    with _pil_settings:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@contextmanager
def open_image(file: BinaryIO) -> Iterator[Image.Image]:
    """Open an image by PIL, whose own limit of pixels does not apply.

    Only the header is read: check it by `pixel_problem`.

    Raises:
        OSError: If PIL does not know the format.
    """
    with _without_pil_limit():
        image = Image.open(file)
    with image:
        yield image


def stored_values(image: Image.Image) -> np.ndarray:
    """Decode an image of PIL, its values as they are stored.

    Returns:
        (H, W), or (H, W, C) where pixels have several channels.

    Raises:
        ValueError: If it has too many pixels.
        Exception: Of nearly any type, if it cannot be decoded.
    """
    problem = pixel_problem(*image.size)
    if problem:
        raise ValueError(f'it {problem}')
    if image.width * image.height <= (Image.MAX_IMAGE_PIXELS or 0):
        return np.asarray(image)
    with _without_pil_limit():  # some formats ask for it when they decode
        return np.asarray(image)


def read_header(file: BinaryIO) -> ImageHeader:
    """Read the header of an image; decode the image if PIL cannot read it.

    Raises:
        ValueError: If it cannot be decoded, or has too many pixels; the
            reason alone, to follow the path in a sentence.
    """
    try:
        with open_image(file) as image:
            # Asking a PNG without the chunk would decode all of it.
            tags = image.getexif() if 'exif' in image.info else {}
            header = ImageHeader(image.format, *image.size,
                                 tags.get(EXIF_ORIENTATION, 1))
    except Exception:  # PIL's parsers raise nearly anything
        # OpenCV, which loads the images, knows formats that PIL does not.
        height, width = _decode(file).shape[:2]
        header = ImageHeader(None, width, height, 1)
    problem = pixel_problem(header.width, header.height)
    if problem:
        raise ValueError(problem)
    return header


def is_truncated(file: BinaryIO, kind: Optional[str]) -> bool:
    """Return True if the pixels of an image end early.

    The end of the file tells in an instant; it is decoded only where that
    leaves a doubt, as some cameras append data.

    Args:
        file: An open file.
        kind: PIL's name of its format; if None, the file has been decoded.
    """
    if kind is None:
        return False
    if kind in ENDINGS:
        file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
        if ENDINGS[kind] in file.read():
            return False
    file.seek(0)
    with _without_pil_limit():
        lenient = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            with open_image(file) as image:
                image.load()
        except Exception:  # PIL's decoders raise nearly anything
            return True
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = lenient
    return False


def read_pixels(file: BinaryIO) -> np.ndarray:
    """Read a photograph from an open file, see `read_image`.

    Raises:
        ValueError: See `read_header`.
    """
    header = read_header(file)
    pixels = _decode(file)
    # OpenCV fills what is missing of a file with grey, and says nothing.
    if is_truncated(file, header.kind):
        raise ValueError(TRUNCATED)
    return pixels


def read_image(path: Union[str, Path]) -> np.ndarray:
    """Read a photograph as (H, W, 3), BGR, uint8, turned as EXIF says.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no regular file, cannot be decoded to its end, or
            has more pixels than `max_pixels` allows.
    """
    if not os.path.lexists(path):
        raise FileNotFoundError(f'image {path} does not exist')
    with open_regular(path) as file:
        try:
            return read_pixels(file)
        except ValueError as error:
            raise UnreadableFileError(path, str(error)) from None


def _decode(file: BinaryIO) -> np.ndarray:
    """Decode an image by OpenCV."""
    size = os.fstat(file.fileno()).st_size
    limit = MAX_BYTES_PER_PIXEL * max_pixels()
    if size > limit:
        raise ValueError(f'has {size:,} bytes, more than the {limit:,} that '
                         f'{max_pixels():,} pixels can need, the limit that '
                         f'{VARIABLE} sets')
    file.seek(0)
    try:
        pixels = cv2.imdecode(
            np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ValueError(
            f'cannot be decoded: {error}; a larger image needs the '
            'environment variables OPENCV_IO_MAX_IMAGE_PIXELS, _WIDTH and '
            '_HEIGHT') from None
    if pixels is None:
        raise ValueError(NO_IMAGE)
    return pixels
