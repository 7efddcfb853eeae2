"""Reading files whatever they are; writing files completely or not at all."""

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
# Letters of a file's name that an unfinished copy of it shows: with all of
# them, a name that just fits would become too long.
_SHOWN = 40
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
    """A path does not lead to a file that can be read.

    Attributes:
        path: The path.
        reason: Why, to follow the path in a sentence.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = str(path)
        self.reason = reason

    def __str__(self) -> str:
        return f'{self.path} {self.reason}'


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file to read its bytes, and refuse all else.

    A named pipe would keep its reader waiting, and a device such as
    /dev/zero has no end.

    Raises:
        UnreadableFileError: If the path leads to no file, to something else,
            or to a file that is empty or may not be read.
    """
    try:
        # Opening alone can change the state of some devices.
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
        # Something else may have come into its place.
        _check_regular(path, os.fstat(file.fileno()))
    except UnreadableFileError:
        file.close()
        raise
    return file


def read_text(path: str | Path) -> str:
    """Read a text file in UTF-8, or UTF-16 where a byte order mark says so.

    Raises:
        UnreadableFileError: If it cannot be opened, see `open_regular`, or is
            no text.
    """
    with open_regular(path) as file:
        content = file.read()
    try:
        marked = len(content) > 2 and content[:2] in (
            codecs.BOM_UTF16_LE,
            codecs.BOM_UTF16_BE,
        )
        return content.decode('utf-16' if marked else 'utf-8-sig')
    except UnicodeDecodeError as error:
        raise UnreadableFileError(
            path, f'is not a text file ({error})'
        ) from None


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        UnreadableFileError: If it cannot be opened, see `open_regular`, or is
            no JSON, or is nested deeper than Python's parser follows.
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
    for is_kind, kind in _KINDS:
        if is_kind(state.st_mode):
            raise UnreadableFileError(path, f'is {kind}, not a file')
    if not state.st_size:
        raise UnreadableFileError(path, 'is empty')


def _reason(path: str | Path, error: OSError) -> str:
    """Describe why a path could not be opened."""
    if error.errno == errno.ENOENT and os.path.islink(path):
        return 'is a link to a file that does not exist'
    reason = _REASONS.get(error.errno or 0)
    return reason or f'cannot be opened: {error.strerror or error}'


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file beside its place and move it there when all is on disk.

    Whatever was at the path stays intact until then. An exception, Ctrl-C
    included, removes the unfinished file; one that was killed leaves it, see
    `remove_leftovers`.

    Args:
        path: Where the file is to appear.

    Yields:
        Path to write to, in the same folder.
    """
    shown = os.fsencode(path.name)[:_SHOWN].decode(errors='ignore')
    name = f'.{shown}.{uuid.uuid4().hex[:8]}{_SUFFIX}'
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
    """Delete what killed processes left unfinished in a folder."""
    leftovers = sorted(folder.glob(f'.*{_SUFFIX}'))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return leftovers


def _flush(path: Path) -> None:
    """Have the disk hold what was written to a file or folder."""
    if os.name == 'nt' and path.is_dir():  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
