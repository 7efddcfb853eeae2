"""Compare the content of folders."""

from pathlib import Path


def files_under(folder):
    """Return the content of all files below a folder by relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in Path(folder).rglob('*')
        if path.is_file()
    }
