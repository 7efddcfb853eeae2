"""Download checkpoints once, and completely or not at all."""

import hashlib
import os
import re
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from mmengine.dist import barrier, get_dist_info
from mmengine.logging import MMLogger
from torch.hub import get_dir, tqdm

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.http import open_address
from swin_dense.checkpoints.files.published import SHA256
from swin_dense.checkpoints.files.sniff import explain_other
from swin_dense.files import replacing
from swin_dense.limits import LimitError, advice, limit

_HASH = re.compile(r'-([0-9a-f]{8,64})\.[^.]+$')
_CHUNK = 1 << 20  # bytes
_GIGABYTES = 50
_LONGEST_NAME = 150


class _Fetched(NamedTuple):
    """The content that a server sent.

    Attributes:
        sha256: Hash of the content.
        size: Number of bytes.
        announced: Number of bytes that the server announced, or None.
        is_complete: True if the protocol shows that nothing is missing.
    """

    sha256: str
    size: int
    announced: int | None
    is_complete: bool


def download(
    address: str, check: Callable[[Path], object] | None = None
) -> Path:
    """Download a file into torch's hub folder, unless it is there already.

    A file whose name ends in a hash is shared with torch.hub and mmengine. Any
    other file goes into a folder for its address. The content must have the
    published hash (`published.SHA256`), or else the hash of the first
    download, which is recorded beside the file (`FILE.sha256`). A file that
    was damaged since then is downloaded again.

    In distributed runs the first process downloads and the others wait for
    it. Independent processes may download the same file at the same time:
    each puts a complete file in place.

    Args:
        address: Address such as https://host/name.pth. If the name ends in a
            hash (`name-0123abcd.pth`), the content must have it.
        check: Function that reads a file, or raises `CheckpointError`. It is
            called if neither server nor hash show that the file is complete.

    Returns:
        Path of the file.

    Raises:
        CheckpointError: If the download fails, ends early, has another hash,
            is a web page, redirects to another scheme, or exceeds the limits
            of time (`SWIN_DENSE_DOWNLOAD_MINUTES`) or size
            (`SWIN_DENSE_MAX_DOWNLOAD_GB`).
    """
    path = cached_path(address)
    rank, world_size = get_dist_info()
    if rank == 0:
        _fetch(address, path, check)
    if world_size > 1:
        barrier()
        _fetch(address, path, check)  # on machines without that folder
    return path


def cached_path(address: str) -> Path:
    """Return the path in torch's hub folder for the file of an address."""
    folder = Path(get_dir(), 'checkpoints')
    name = re.split(r'[/\\]', unquote(urlsplit(address).path))[-1]
    name = re.sub(r'[^\w.+-]', '_', name)[-_LONGEST_NAME:].lstrip('.')
    if not name_hash(name):
        folder /= hashlib.sha256(address.encode()).hexdigest()[:16]
    return folder / (name or 'checkpoint')


def name_hash(name: str) -> str:
    """Return the hash that a file name ends in; '' if there is none."""
    match = _HASH.search(name)
    return match[1] if match else ''


def sha256(path: Path) -> str:
    """Return the sha256 of a file's content, as hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _fetch(
    address: str, path: Path, check: Callable[[Path], object] | None
) -> None:
    """Download a file to a path, unless the right file is there."""
    record = path.with_name(f'{path.name}.sha256')
    in_name = name_hash(path.name)
    expected, origin = SHA256.get(address, in_name), 'the known hash'
    if not expected and record.is_file():
        expected = record.read_text(errors='replace')[:64]
        origin = (
            'the hash of the first download. If the publisher has replaced '
            f'the file, delete {record}'
        )
    if path.exists():
        digest = sha256(path)
        if digest.startswith(expected):
            if not in_name:
                _record(record, digest, path.name)
            return
        MMLogger.get_current_instance().warning(
            f'{path} does not have the hash {expected}: downloading it again'
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(path) as partial:
            content = _copy(address, partial)
            if content.announced not in (None, content.size):
                raise ValueError(
                    f'it ended after {content.size} of {content.announced} '
                    'bytes'
                )
            problem = explain_other(partial)
            if problem:
                raise ValueError(f'the content {problem}')
            if not content.sha256.startswith(expected):
                raise ValueError(
                    f'its sha256 is {content.sha256}, which does '
                    f'not begin with {expected}, {origin}'
                )
            if check and not (content.is_complete or expected):
                check(partial)
        if not in_name:
            _record(record, content.sha256, path.name)
    except (OSError, HTTPException, ValueError) as error:
        raise CheckpointError(
            f'cannot download {address}: {error}. Download it by other means '
            f'and give its path, or put it at {path}'
        ) from error


def _record(record: Path, digest: str, name: str) -> None:
    """Record a hash in the format of `sha256sum`, unless there is one."""
    if not record.is_file():
        with replacing(record) as partial:
            partial.write_text(f'{digest}  {name}\n')


def _copy(address: str, target: Path) -> _Fetched:
    """Copy the content of an address to a file."""
    digest, size = hashlib.sha256(), 0
    most = limit('MAX_DOWNLOAD_GB', _GIGABYTES) * 2**30
    with open_address(address) as response, open(target, 'wb') as file:
        announced = response.length
        with tqdm(
            total=announced,
            desc=target.name.strip('.').partition('.pth')[0],
            disable=not os.isatty(2),
            unit='B',
            unit_scale=True,
        ) as bar:
            while chunk := response.read(_CHUNK):
                size += len(chunk)
                if max(size, announced or 0) > most:
                    raise LimitError(
                        f'it is larger than {most / 2**30:g} GB. '
                        + advice('MAX_DOWNLOAD_GB')
                    )
                file.write(chunk)
                digest.update(chunk)
                bar.update(len(chunk))
        complete = announced is not None or bool(response.chunked)
    return _Fetched(digest.hexdigest(), size, announced, complete)
