"""Reading image files, whatever their names, kinds and contents.

The bytes are read first and decoded then: OpenCV's own reader of files
crashes on names that are not UTF-8, and waits for a named pipe for ever.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageFile

from swin_dense.files import UnreadableFileError, open_regular

EXIF_ORIENTATION = 0x0112
TURNED = (5, 6, 7, 8)
# How a complete file of these formats ends, within its last bytes.
ENDINGS = {'JPEG': b'\xff\xd9', 'MPO': b'\xff\xd9', 'PNG': b'IEND'}
TAIL = 64
NO_IMAGE = 'cannot be decoded: it is no image, or damaged'
TRUNCATED = 'is truncated: its pixels end early'
# Formats of 8 bits that OpenCV, which loads the images, reads whenever PIL
# does; of others only decoding tells. A PNG may have 16 bits.
PLAIN_KINDS = ('BMP', 'JPEG', 'MPO', 'PNG', 'WEBP')
PNG_DEPTH = 24  # place of the byte with the bits per channel
# OpenCV keeps the upper 8 of 16 bits: data of up to 14 bits become this dark.
DARK = 64
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

    kind: str | None
    width: int
    height: int
    turn: int

    @property
    def size(self) -> tuple[int, int]:
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
        raise ValueError(
            f'the environment variable {VARIABLE}={text!r} must '
            'be a number of pixels, such as 400000000'
        )
    return int(text)


def pixel_problem(width: int, height: int) -> str | None:
    """Say that an image has more pixels than are allowed, if it has."""
    limit = max_pixels()
    if width * height <= limit:
        return None
    return (
        f'has {width}×{height} = {width * height:,} pixels; at most '
        f'{limit:,} are read, as a small file may unpack to any size. If '
        'it may be trusted, raise the limit by the environment variable '
        f'{VARIABLE}={width * height}'
    )


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
    """Read the header of an image; decode the image where that leaves doubt.

    Raises:
        ValueError: If it cannot be decoded by OpenCV, has too many pixels, or
            would be loaded as nearly black; the reason alone, to follow the
            path in a sentence.
    """
    try:
        with open_image(file) as image:
            # Asking a PNG without the chunk would decode all of it.
            tags = image.getexif() if 'exif' in image.info else {}
            header = ImageHeader(
                image.format, *image.size, tags.get(EXIF_ORIENTATION, 1)
            )
    except Exception:  # PIL's parsers raise nearly anything
        # OpenCV, which loads the images, knows formats that PIL does not.
        height, width = _decode(file).shape[:2]
        header = ImageHeader(None, width, height, 1)
    problem = pixel_problem(header.width, header.height)
    if problem:
        raise ValueError(problem)
    if header.kind not in PLAIN_KINDS or _is_deep_png(file, header.kind):
        _check_decoded(file, header)
    return header


def _is_deep_png(file: BinaryIO, kind: str | None) -> bool:
    """Return True if an image is a PNG of 16 bits per channel."""
    if kind != 'PNG':
        return False
    file.seek(PNG_DEPTH)
    return file.read(1) == b'\x10'


def _check_decoded(file: BinaryIO, header: ImageHeader) -> None:
    """Raise unless OpenCV loads an image as PIL shows it."""
    pixels = _decode(file, cv2.IMREAD_UNCHANGED, header.kind)
    height, width = pixels.shape[:2]
    if header.kind and (width, height) != (header.width, header.height):
        raise ValueError(
            f'is a {header.kind} file of {header.width}×{header.height} pixels'
            f', of which OpenCV loads {width}×{height}: save it as PNG or '
            'JPEG'
        )
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f'has pixels of type {pixels.dtype}, which would not '
            'be loaded as they are: save it with 8 bits'
        )
    most = int(pixels.max())
    if pixels.dtype == np.uint16 and 0 < most < DARK * 256:
        raise ValueError(
            f'has 16 bits per channel, but no value above {most} of 65535: '
            f'OpenCV keeps the upper 8 bits, at most {most // 256} of 255, '
            'and the image would be nearly black. Scale it to 8 bits, for '
            'instance by its range or that of the sensor'
        )


def is_truncated(file: BinaryIO, kind: str | None) -> bool:
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


def read_image(path: str | Path) -> np.ndarray:
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


def _decode(
    file: BinaryIO, flags: int = cv2.IMREAD_COLOR, kind: str | None = None
) -> np.ndarray:
    """Decode an image by OpenCV; `kind` is what PIL takes it for."""
    size = os.fstat(file.fileno()).st_size
    limit = MAX_BYTES_PER_PIXEL * max_pixels()
    if size > limit:
        raise ValueError(
            f'has {size:,} bytes, more than the {limit:,} that '
            f'{max_pixels():,} pixels can need, the limit that '
            f'{VARIABLE} sets'
        )
    file.seek(0)
    try:
        pixels = cv2.imdecode(np.frombuffer(file.read(), np.uint8), flags)
    except cv2.error as error:
        raise ValueError(
            f'cannot be decoded: {error}; a larger image needs the '
            'environment variables OPENCV_IO_MAX_IMAGE_PIXELS, _WIDTH and '
            '_HEIGHT'
        ) from None
    if pixels is None:
        raise ValueError(
            f'is a {kind} file that OpenCV, which loads the images, cannot '
            'decode: save it as PNG or JPEG'
            if kind
            else NO_IMAGE
        )
    return pixels
