"""Read regular files only, and write files atomically."""

import codecs
import errno
import json
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

_SUFFIX = '.partial'
# Bytes of a file's name that are part of the name of its unfinished copy. With
# all of them, the name could become too long for the file system.
_NAME_BYTES = 40
_KINDS = (
    (stat.S_ISDIR, 'a folder'),
    (stat.S_ISFIFO, 'a named pipe'),
    (stat.S_ISSOCK, 'a socket'),
    (stat.S_ISCHR, 'a device'),
    (stat.S_ISBLK, 'a device'),
)
_REASONS = {
    errno.ENOENT: 'does not exist',
    errno.ENOTDIR: 'does not exist',
    errno.EACCES: 'may not be read: permission denied',
    errno.EPERM: 'may not be read: permission denied',
    errno.ELOOP: 'is a loop of links',
    errno.ENAMETOOLONG: 'has a name that is too long',
}


class UnreadableFileError(ValueError):
    """A path does not lead to a readable file.

    Attributes:
        path: The path.
        reason: The problem, as text to follow the path.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = str(path)
        self.reason = reason

    def __str__(self) -> str:
        return f'{self.path} {self.reason}'


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file to read its bytes; refuse anything else.

    A named pipe would keep its reader waiting, and a device such as
    /dev/zero has no end.

    Raises:
        UnreadableFileError: If the path does not exist, is not a regular file
            (a folder, pipe, socket or device), or leads to a file that is
            empty or may not be read.
    """
    try:
        # Checked first, since opening alone changes the state of some devices.
        _check_regular(path, os.stat(path))
        descriptor = os.open(
            path,
            os.O_RDONLY
            | getattr(os, 'O_NONBLOCK', 0)
            | getattr(os, 'O_BINARY', 0),
        )
        file = os.fdopen(descriptor, 'rb')
    except OSError as error:
        raise UnreadableFileError(path, _reason(path, error)) from None
    try:
        # Checked again, since the path may lead elsewhere by now.
        _check_regular(path, os.fstat(file.fileno()))
    except UnreadableFileError:
        file.close()
        raise
    return file


def read_text(path: str | Path) -> str:
    """Read a text file in UTF-8, or in UTF-16 if it has a byte order mark.

    Raises:
        UnreadableFileError: If the file cannot be opened, see `open_regular`,
            or is not text.
    """
    with open_regular(path) as file:
        content = file.read()
    try:
        is_utf16 = len(content) > 2 and content[:2] in (
            codecs.BOM_UTF16_LE,
            codecs.BOM_UTF16_BE,
        )
        return content.decode('utf-16' if is_utf16 else 'utf-8-sig')
    except UnicodeDecodeError as error:
        raise UnreadableFileError(
            path, f'is not a text file ({error})'
        ) from None


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        UnreadableFileError: If the file cannot be opened, see `open_regular`,
            is not JSON, or is nested too deeply for Python's parser.
    """
    try:
        return json.loads(read_text(path))
    except UnreadableFileError:
        raise
    except ValueError as error:
        raise UnreadableFileError(
            path, f'is not a JSON file ({error}): is the download complete?'
        ) from None
    except RecursionError:
        raise UnreadableFileError(
            path,
            'is nested too deeply for a JSON file: about a thousand '
            'levels are read at most',
        ) from None


def _check_regular(path: str | Path, state: os.stat_result) -> None:
    """Raise unless the state is that of a regular file with content."""
    for is_kind, kind in _KINDS:
        if is_kind(state.st_mode):
            raise UnreadableFileError(path, f'is {kind}, not a file')
    if not state.st_size:
        raise UnreadableFileError(path, 'is empty')


def _reason(path: str | Path, error: OSError) -> str:
    """Return why a path could not be opened, as text to follow the path."""
    if error.errno == errno.ENOENT and os.path.islink(path):
        return 'is a link to a file that does not exist'
    reason = _REASONS.get(error.errno or 0)
    return reason or f'cannot be opened: {error.strerror or error}'


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file atomically: into a temporary file, which is then renamed.

    A file that was at the path stays intact until the new one is on disk. An
    exception, also that of Ctrl-C, removes the temporary file. A killed
    process leaves it, see `remove_leftovers`.

    Args:
        path: Path of the finished file.

    Yields:
        Path of the temporary file, in the same folder.
    """
    start = os.fsencode(path.name)[:_NAME_BYTES].decode(errors='ignore')
    name = f'.{start}.{uuid.uuid4().hex[:8]}{_SUFFIX}'
    partial = path.with_name(name)
    try:
        yield partial
        _flush(partial)
        os.replace(partial, path)
        _flush(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def remove_leftovers(folder: Path) -> list[Path]:
    """Delete the temporary files that killed processes left in a folder.

    Returns:
        Paths of the deleted files.
    """
    leftovers = sorted(folder.glob(f'.*{_SUFFIX}'))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return leftovers


def _flush(path: Path) -> None:
    """Write a file or folder from the system's buffers to disk."""
    if os.name == 'nt' and path.is_dir():  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
