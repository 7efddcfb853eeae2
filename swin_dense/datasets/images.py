"""Checks of image files against what the annotation file says of them."""
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Iterable, Iterator, List, Optional, Tuple, Union

import cv2
from PIL import Image, ImageFile, UnidentifiedImageError

__all__ = ['image_problem', 'image_size', 'missing_files']

EXIF_ORIENTATION = 0x0112
TURNED = (5, 6, 7, 8)
# How a complete file of these formats ends, within its last bytes.
ENDINGS = {'JPEG': b'\xff\xd9', 'MPO': b'\xff\xd9', 'PNG': b'IEND'}
TAIL = 64
NO_IMAGE = 'cannot be decoded: it is no image, or damaged'
TRUNCATED = 'is truncated: its pixels end early'


def missing_files(paths: Iterable[str]) -> List[str]:
    """Those of `paths` that do not exist; lists each folder once."""
    listed = {}
    missing = []
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in listed:
            listed[folder] = (
                set(os.listdir(folder or '.'))
                if os.path.isdir(folder or '.') else set())
        if name not in listed[folder]:
            missing.append(path)
    return missing


@contextmanager
def _opened(path: Union[str, Path]) -> Iterator[Image.Image]:
    """Open an image of any size by PIL.

    Its limit guards servers. The images are loaded by OpenCV, which has one
    of its own.
    """
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(path) as image:
            yield image
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _is_truncated(path: Union[str, Path], kind: Optional[str]) -> bool:
    """Whether the pixels of a file end early.

    The end of the file tells in an instant; it is decoded only where that
    leaves a doubt, as some cameras append data.
    """
    if kind in ENDINGS:
        with open(path, 'rb') as file:
            file.seek(max(0, os.path.getsize(path) - TAIL))
            if ENDINGS[kind] in file.read():
                return False
    lenient = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with _opened(path) as image:
            image.load()
    except (OSError, SyntaxError, ValueError):
        return True
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient
    return False


def _header(
        path: Union[str,
                    Path]) -> Optional[Tuple[Optional[str], int, int, int]]:
    """Format, width, height as stored, and EXIF orientation, if readable."""
    try:
        with _opened(path) as image:
            # Asking a PNG without the chunk would decode all of it.
            tags = image.getexif() if 'exif' in image.info else {}
            turn = tags.get(EXIF_ORIENTATION, 1)
            return (image.format, *image.size, turn)
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError):
        # OpenCV, which loads the images, knows formats that PIL does not.
        pixels = cv2.imread(str(path))
        if pixels is None:
            return None
        return None, pixels.shape[1], pixels.shape[0], 1


def image_size(path: Union[str, Path]) -> Tuple[int, int]:
    """Width and height of an image as it will be loaded, in pixels.

    Reads the header and the last bytes; decodes nothing unless it must.

    Raises:
        ValueError: The file cannot be decoded, or ends early.
    """
    header = _header(path)
    if header is None:
        raise ValueError(NO_IMAGE)
    kind, width, height, turn = header
    if _is_truncated(path, kind):
        raise ValueError(TRUNCATED)
    # The images are loaded by OpenCV, which applies the orientation.
    return (height, width) if turn in TURNED else (width, height)


def image_problem(path: Union[str, Path], width: int,
                  height: int) -> Optional[str]:
    """What is wrong with an image file, if anything.

    Reads the header and the last bytes; decodes nothing unless it must.

    Args:
        path: The file.
        width: Width that the annotation file gives, in pixels.
        height: Height that it gives, in pixels.

    Returns:
        A sentence, or None. A size may be off by one pixel.
    """
    header = _header(path)
    if header is None:
        return NO_IMAGE
    kind, found_w, found_h, turn = header
    # The images are loaded by OpenCV, which applies the orientation.
    if turn in TURNED:
        found_w, found_h = found_h, found_w
    if abs(found_w - width) > 1 or abs(found_h - height) > 1:
        problem = (f'is {found_w}×{found_h} pixels (width × height), the '
                   f'annotation file says {width}×{height}')
        if turn in TURNED and abs(found_h - width) <= 1:
            problem += (f': swapped, EXIF orientation {turn}. The annotations '
                        'are of the image before it is turned; store the '
                        'file again without the tag')
        elif abs(found_h - width) <= 1 and abs(found_w - height) <= 1:
            problem += ': width and height are swapped'
        return problem
    if _is_truncated(path, kind):
        return TRUNCATED
    return None
