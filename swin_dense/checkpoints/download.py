"""Fetching checkpoints: once, and completely or not at all."""
import hashlib
import os
import re
from http.client import HTTPException
from pathlib import Path
from typing import Optional
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from mmengine.dist import barrier, get_dist_info
from mmengine.logging import MMLogger
from torch.hub import get_dir, tqdm

from swin_dense.checkpoints.containers import explain_other
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.files import replacing

_HASH = re.compile(r'-([0-9a-f]{8,64})\.[^.]+$')
# Published files whose name says all; anybody's `model.safetensors` does not.
_TELLING = re.compile(r'swin.*(patch\d|window\d)')
_CHUNK = 1 << 20  # bytes
_PATIENCE = 60  # seconds without a byte


def download(address: str) -> Path:
    """Fetch a file into torch's hub folder, unless it is there already.

    A file whose name has a hash, or is that of a published Swin, is shared
    with torch.hub and mmengine. Any other goes into a folder for its address,
    since many addresses end in the same name. In distributed runs the first
    process fetches, the others wait for it. Processes that know nothing of
    each other may fetch the same file at once: each puts a complete one in
    place.

    Args:
        address: Such as https://host/name.pth. If the name ends in a hash
            (`name-0123abcd.pth`), the content must have it, also that of a
            file that is there already.

    Returns:
        Path of the file.

    Raises:
        CheckpointError: If it cannot be had, ends early, has another hash or
            is a web page.
    """
    path = cached_path(address)
    rank, world_size = get_dist_info()
    if rank == 0:
        _fetch(address, path)
    if world_size > 1:
        barrier()
        _fetch(address, path)  # on machines that do not share that folder
    return path


def cached_path(address: str) -> Path:
    """Where the file of an address is kept."""
    folder = Path(get_dir(), 'checkpoints')
    name = unquote(urlsplit(address).path).rpartition('/')[2] or 'checkpoint'
    if not name_hash(name) and not _TELLING.search(name):
        folder /= hashlib.sha256(address.encode()).hexdigest()[:8]
    return folder / name


def name_hash(name: str) -> str:
    """The hash that a file name ends in, '' where there is none."""
    match = _HASH.search(name)
    return match[1] if match else ''


def sha256(path: Path) -> str:
    """The sha256 of a file's content, as hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _fetch(address: str, path: Path) -> None:
    expected = name_hash(path.name)
    if path.exists():
        if not expected or sha256(path).startswith(expected):
            return
        MMLogger.get_current_instance().warning(
            f'{path} does not have the hash in its name: fetching it anew')
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(path) as partial:
            size, digest = _copy(address, partial)
            if size is not None and size != partial.stat().st_size:
                raise ValueError(f'it ended after {partial.stat().st_size} '
                                 f'of {size} bytes')
            other = explain_other(partial)
            if other:
                raise ValueError(f'what comes {other}')
            if expected and not digest.startswith(expected):
                raise ValueError(f'its sha256 is {digest}, which does not '
                                 f'begin with {expected} as the name says')
    except (OSError, HTTPException, ValueError) as error:
        raise CheckpointError(
            f'cannot download {address}: {error}. Download it by other means '
            f'and give its path, or put it at {path}') from error


def _copy(address: str, target: Path) -> tuple[Optional[int], str]:
    """Write what is at an address.

    Returns:
        The size that was announced, in bytes, and the sha256 of what came.
    """
    digest = hashlib.sha256()
    request = Request(address, headers={'User-Agent': 'swin_dense'})
    with urlopen(request, timeout=_PATIENCE) as response, \
            open(target, 'wb') as file:
        length = response.headers.get('Content-Length')
        size = int(length) if length else None
        with tqdm(
                total=size,
                desc=target.name.strip('.').partition('.pth')[0],
                disable=not os.isatty(2),
                unit='B',
                unit_scale=True) as bar:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                digest.update(chunk)
                bar.update(len(chunk))
    return size, digest.hexdigest()
