"""Checks of image files against what the annotation file says of them."""

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
    """Those of `paths` that do not exist; lists each folder once."""
    listed = {}
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
    """Return width and height of an image as it will be loaded, in pixels.

    Reads the header and the last bytes; decodes nothing unless it must.

    Raises:
        ValueError: If the path leads to no file, or the file cannot be
            decoded, ends early or has too many pixels; the reason alone, to
            follow the path in a sentence.
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
    """Say what is wrong with an image file, if anything.

    Reads the header and the last bytes; decodes nothing unless it must.

    Args:
        path: The file.
        width: Width that the annotation file gives, in pixels.
        height: Height that it gives, in pixels.

    Returns:
        A sentence, or None. A size may be off by one pixel.
    """
    try:
        with open_regular(path) as file:
            return _problem(file, width, height)
    except UnreadableFileError as error:
        return error.reason
    except ValueError as error:
        return str(error)


def _problem(file: BinaryIO, width: int, height: int) -> str | None:
    header = read_header(file)
    turn = header.turn
    found_w, found_h = header.size
    if abs(found_w - width) > 1 or abs(found_h - height) > 1:
        problem = (
            f'is {found_w}×{found_h} pixels (width × height), the '
            f'annotation file says {width}×{height}'
        )
        if turn in TURNED and abs(found_h - width) <= 1:
            problem += (
                f': swapped, EXIF orientation {turn}. The annotations '
                'are of the image before it is turned; store the '
                'file again without the tag'
            )
        elif abs(found_h - width) <= 1 and abs(found_w - height) <= 1:
            problem += ': width and height are swapped'
        return problem
    if is_truncated(file, header.kind):
        return TRUNCATED
    return None
