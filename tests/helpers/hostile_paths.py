"""Paths that do not lead to a readable file, of every kind."""

import os
import socket
from contextlib import contextmanager
from pathlib import Path

REASONS: dict[str, str] = {
    'pipe': 'is a named pipe, not a file',
    'socket': 'is a socket, not a file',
    'folder': 'is a folder, not a file',
    'device': 'is a device, not a file',
    'empty': 'is empty',
    'broken': 'is a link to a file that does not exist',
    'loop': 'is a loop of links',
}


def write_hostile_paths(folder: Path, suffix: str) -> dict[Path, str]:
    """Create a path of each kind; return the error of each path."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {kind: folder / f'{kind}{suffix}' for kind in REASONS}
    os.mkfifo(paths['pipe'])
    with _working_in(folder), socket.socket(socket.AF_UNIX) as server:
        server.bind(paths['socket'].name)  # a full path may be too long
    paths['folder'].mkdir()
    paths['device'].symlink_to('/dev/zero')
    paths['empty'].touch()
    paths['broken'].symlink_to(folder / 'nothing')
    paths['loop'].symlink_to(paths['loop'])
    return {path: REASONS[kind] for kind, path in paths.items()}


@contextmanager
def _working_in(folder: Path):
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
