"""Fetching checkpoints: once, and completely or not at all."""
import hashlib
import os
import re
from http.client import HTTPException
from pathlib import Path
from typing import Optional
from urllib.request import Request, urlopen

from mmengine.dist import barrier, get_dist_info
from torch.hub import get_dir, tqdm

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.files import replacing

_HASH = re.compile(r'-([0-9a-f]{8,64})\.[^.]+$')
_CHUNK = 1 << 20  # bytes


def download(address: str) -> Path:
    """Fetch a file into torch's hub folder, unless it is there already.

    In distributed runs the first process does, the others wait for it.

    Args:
        address: Such as https://host/name.pth. If the name ends in a hash
            (`name-0123abcd.pth`), the content must have it.

    Returns:
        Path of the file.

    Raises:
        CheckpointError: If it cannot be had, ends early or has another hash.
    """
    path = Path(get_dir(), 'checkpoints',
                address.split('?')[0].rsplit('/', 1)[-1])
    rank, world_size = get_dist_info()
    if rank == 0:
        _fetch(address, path)
    if world_size > 1:
        barrier()
        _fetch(address, path)  # on machines that do not share that folder
    return path


def _fetch(address: str, path: Path) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(path) as partial:
            size, digest = _copy(address, partial)
            if size is not None and size != partial.stat().st_size:
                raise ValueError(f'it ended after {partial.stat().st_size} '
                                 f'of {size} bytes')
            expected = _HASH.search(path.name)
            if expected and not digest.startswith(expected[1]):
                raise ValueError(f'its sha256 is {digest}, which does not '
                                 f'begin with {expected[1]} as the name says')
    except (OSError, HTTPException, ValueError) as error:
        raise CheckpointError(
            f'cannot download {address}: {error}. Download it by other means '
            f'and give its path, or put it at {path}') from error


def _copy(address: str, target: Path) -> tuple[Optional[int], str]:
    """Write what is at an address.

    Returns:
        The size that was announced, in bytes, and the sha256 of what came.
    """
    sha256 = hashlib.sha256()
    request = Request(address, headers={'User-Agent': 'swin_dense'})
    with urlopen(request) as response, open(target, 'wb') as file:
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
                sha256.update(chunk)
                bar.update(len(chunk))
    return size, sha256.hexdigest()
