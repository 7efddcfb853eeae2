"""Compare image files with the sizes in an annotation file."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from swin_dense.data.image_files import (
    TRUNCATED,
    TURNED,
    is_truncated,
    read_header,
)
from swin_dense.files import UnreadableFileError, open_regular


def missing_files(paths: Iterable[str]) -> list[str]:
    """Return the paths that do not exist.

    Each folder is listed once, which is faster than asking for each file.
    """
    listed: dict[str, set[str]] = {}
    missing = []
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in listed:
            listed[folder] = (
                set(os.listdir(folder or '.'))
                if os.path.isdir(folder or '.')
                else set()
            )
        if name not in listed[folder]:
            missing.append(path)
    return missing


def image_size(path: str | Path) -> tuple[int, int]:
    """Return the width and height of an image as it will be loaded, in pixels.

    Reads the header and the last bytes; decodes the image only if these leave
    doubt.

    Raises:
        ValueError: If there is no file, or the file cannot be decoded, is
            truncated or has too many pixels. The message is the reason
            without the path.
    """
    try:
        with open_regular(path) as file:
            header = read_header(file)
            if is_truncated(file, header.kind):
                raise ValueError(TRUNCATED)
    except UnreadableFileError as error:
        raise ValueError(error.reason) from None
    return header.size


def image_problem(path: str | Path, width: int, height: int) -> str | None:
    """Describe what is wrong with an image file.

    Reads the header and the last bytes; decodes the image only if these leave
    doubt.

    Args:
        path: The image file.
        width: Width in the annotation file, in pixels.
        height: Height in the annotation file, in pixels.

    Returns:
        A sentence to follow the path, or None if the image can be used. A
        difference of one pixel in a side is accepted.
    """
    try:
        with open_regular(path) as file:
            return _problem(file, width, height)
    except UnreadableFileError as error:
        return error.reason
    except ValueError as error:
        return str(error)


def _problem(file: BinaryIO, width: int, height: int) -> str | None:
    """Describe what is wrong with an open image; see `image_problem`."""
    header = read_header(file)
    turn = header.turn
    file_width, file_height = header.size
    if abs(file_width - width) > 1 or abs(file_height - height) > 1:
        problem = (
            f'is {file_width}x{file_height} pixels (width x height), the '
            f'annotation file says {width}x{height}'
        )
        if turn in TURNED and abs(file_height - width) <= 1:
            problem += (
                f': swapped, EXIF orientation {turn}. The annotations '
                'are of the image before it is turned; store the '
                'file again without the tag'
            )
        elif abs(file_height - width) <= 1 and abs(file_width - height) <= 1:
            problem += ': width and height are swapped'
        return problem
    if is_truncated(file, header.kind):
        return TRUNCATED
    return None
