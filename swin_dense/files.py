"""Files that are either complete or not there."""
import os
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

_SUFFIX = '.partial'


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
    name = f'.{path.name}.{uuid.uuid4().hex[:8]}{_SUFFIX}'
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
