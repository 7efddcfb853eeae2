"""Files that are there completely or not at all."""
import os
import tempfile
from pathlib import Path
from typing import Union

__all__ = ['write_bytes']


def write_bytes(path: Union[str, Path], content: bytes) -> None:
    """Write a file beside its place, then rename it into place.

    Whoever looks, or is interrupted, sees the old file or the new one. The
    folder is made where needed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f'.{path.name}.')
    try:
        with os.fdopen(handle, 'wb') as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
