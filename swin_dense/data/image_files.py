"""Read image files with any name, in any format that OpenCV decodes.

The bytes are read first and decoded afterwards: `cv2.imread` crashes on names
that are not UTF-8 and blocks on a named pipe.
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
TURNED = (5, 6, 7, 8)  # orientations that swap width and height
# Marker in the last `TAIL` bytes of a complete file, by format.
ENDINGS = {'JPEG': b'\xff\xd9', 'MPO': b'\xff\xd9', 'PNG': b'IEND'}
TAIL = 64
NO_IMAGE = 'cannot be decoded: it is not an image, or damaged'
TRUNCATED = 'is truncated: its pixels end early'
# 8-bit formats that OpenCV decodes whenever PIL does, so that the header is
# enough. Images in other formats are decoded to be sure. A PNG may have 16
# bits; see `_is_deep_png`.
PLAIN_KINDS = ('BMP', 'JPEG', 'MPO', 'PNG', 'WEBP')
PNG_DEPTH = 24  # position of the byte with the bits per channel
# OpenCV keeps the upper 8 of 16 bits. Sensors with 14 bits or fewer give
# values below this one.
DARK = 64
# As many as the largest phone cameras take.
MAX_PIXELS = 200_000_000
VARIABLE = 'SWIN_DENSE_MAX_PIXELS'
# Four uncompressed channels of 16 bits.
MAX_BYTES_PER_PIXEL = 8

# PIL's limits are global to the process. A thread that changes one holds this
# lock until the old value is restored.
_pil_settings = threading.RLock()


class ImageHeader(NamedTuple):
    """Format, size and orientation of an image file.

    Attributes:
        kind: PIL's name of the format; None if PIL does not know it.
        width: Stored width in pixels, before any rotation.
        height: Stored height in pixels, before any rotation.
        turn: EXIF orientation, 1 to 8.
    """

    kind: str | None
    width: int
    height: int
    turn: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as OpenCV loads the image, turned upright."""
        if self.turn in TURNED:
            return self.height, self.width
        return self.width, self.height


def max_pixels() -> int:
    """Return the largest number of pixels that an image may have.

    The environment variable `SWIN_DENSE_MAX_PIXELS` replaces the default of
    200 million.

    Raises:
        ValueError: If the variable is not a positive integer.
    """
    text = os.environ.get(VARIABLE, str(MAX_PIXELS))
    if not text.isdecimal() or not int(text):
        raise ValueError(
            f'the environment variable {VARIABLE}={text!r} must '
            'be a number of pixels, such as 400000000'
        )
    return int(text)


def pixel_problem(width: int, height: int) -> str | None:
    """Return a message if an image has more than `max_pixels` pixels."""
    limit = max_pixels()
    if width * height <= limit:
        return None
    return (
        f'has {width}x{height} = {width * height:,} pixels; at most '
        f'{limit:,} are read, as a small file may unpack to any size. If '
        'you trust it, raise the limit by the environment variable '
        f'{VARIABLE}={width * height}'
    )


@contextmanager
def _without_pil_limit() -> Iterator[None]:
    """Lift PIL's own limit of pixels while the context is open."""
    with _pil_settings:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@contextmanager
def open_image(file: BinaryIO) -> Iterator[Image.Image]:
    """Open an image with PIL, without PIL's own limit of pixels.

    Only the header is read. Check its size with `pixel_problem` before
    decoding.

    Raises:
        OSError: If PIL does not know the format.
    """
    with _without_pil_limit():
        image = Image.open(file)
    with image:
        yield image


def stored_values(image: Image.Image) -> np.ndarray:
    """Decode a PIL image without converting its values.

    Returns:
        An array (H, W), or (H, W, C) if the image has several channels.

    Raises:
        ValueError: If the image has more than `max_pixels` pixels.
        Exception: Of nearly any type, if the image cannot be decoded.
    """
    problem = pixel_problem(*image.size)
    if problem:
        raise ValueError(f'it {problem}')
    if image.width * image.height <= (Image.MAX_IMAGE_PIXELS or 0):
        return np.asarray(image)
    with _without_pil_limit():  # some formats check the limit in decoding
        return np.asarray(image)


def read_header(file: BinaryIO) -> ImageHeader:
    """Read the header of an image; decode it only if the header leaves doubt.

    Raises:
        ValueError: If OpenCV cannot decode the image, or the image has too
            many pixels or would be loaded as nearly black. The message is the
            reason without the path.
    """
    try:
        with open_image(file) as image:
            # Without the 'exif' chunk, `getexif` would decode a whole PNG.
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
    """Return True if an image is a PNG with 16 bits per channel."""
    if kind != 'PNG':
        return False
    file.seek(PNG_DEPTH)
    return file.read(1) == b'\x10'


def _check_decoded(file: BinaryIO, header: ImageHeader) -> None:
    """Raise a ValueError unless OpenCV and PIL agree on an image.

    OpenCV must decode the same size, in 8 bits or in 16 bits that are not
    nearly black.
    """
    pixels = _decode(file, cv2.IMREAD_UNCHANGED, header.kind)
    height, width = pixels.shape[:2]
    if header.kind and (width, height) != (header.width, header.height):
        raise ValueError(
            f'is a {header.kind} file of {header.width}x{header.height} pixels'
            f', of which OpenCV loads {width}x{height}: save it as PNG or '
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
            'instance by its range of values or that of the sensor'
        )


def is_truncated(file: BinaryIO, kind: str | None) -> bool:
    """Return True if the pixels of an image end early.

    The last bytes are checked first. Without the marker of a complete file
    the image is decoded, since some cameras append data.

    Args:
        file: An open image file.
        kind: PIL's name of the format; None, for an image that has been
            decoded already, returns False.
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
    """Read an image from an open file; see `read_image`.

    Raises:
        ValueError: If `read_header` raises it, or the image is truncated.
    """
    header = read_header(file)
    pixels = _decode(file)
    # OpenCV fills the missing pixels of a truncated file with grey, silently.
    if is_truncated(file, header.kind):
        raise ValueError(TRUNCATED)
    return pixels


def read_image(path: str | Path) -> np.ndarray:
    """Read an image and turn it upright by its EXIF orientation.

    Returns:
        An array (H, W, 3) in BGR, uint8.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the path is not a regular file, the image cannot be
            decoded to its end, or it has more than `max_pixels` pixels.
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
    """Decode an image with OpenCV.

    Args:
        file: An open image file.
        flags: Reading mode of OpenCV.
        kind: PIL's name of the format, for messages; None if unknown.

    Raises:
        ValueError: If the file is too large or cannot be decoded.
    """
    size = os.fstat(file.fileno()).st_size
    limit = MAX_BYTES_PER_PIXEL * max_pixels()
    if size > limit:
        raise ValueError(
            f'has {size:,} bytes, more than the {limit:,} bytes of an '
            f'uncompressed image of {max_pixels():,} pixels. If you trust '
            f'it, raise the limit of pixels by the environment variable '
            f'{VARIABLE}'
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
