"""Fetching checkpoints: once, and completely or not at all."""

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
    """What came from an address.

    Attributes:
        sha256: Hash of the content.
        size: Bytes that came.
        announced: Bytes that the server announced, if it did.
        is_complete: Whether the protocol says that this is all.
    """

    sha256: str
    size: int
    announced: int | None
    is_complete: bool


def download(
    address: str, check: Callable[[Path], object] | None = None
) -> Path:
    """Fetch a file into torch's hub folder, unless it is there already.

    A file whose name ends in a hash is shared with torch.hub and mmengine. Any
    other goes into a folder for its address. Its content must have the hash
    that is published (`published.SHA256`); if none is, that of the first
    download, which is recorded beside it (`FILE.sha256`). A file that was
    damaged since is fetched again.

    In distributed runs the first process fetches, the others wait for it.
    Processes that know nothing of each other may fetch the same file at once:
    each puts a complete one in place.

    Args:
        address: Such as https://host/name.pth. If the name ends in a hash
            (`name-0123abcd.pth`), the content must have it.
        check: Reads a file, or raises `CheckpointError`. It is called where
            neither server nor hash say whether what came is complete.

    Returns:
        Path of the file.

    Raises:
        CheckpointError: If it cannot be had, ends early, has another hash,
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
    """Where the file of an address is kept."""
    folder = Path(get_dir(), 'checkpoints')
    name = re.split(r'[/\\]', unquote(urlsplit(address).path))[-1]
    name = re.sub(r'[^\w.+-]', '_', name)[-_LONGEST_NAME:].lstrip('.')
    if not name_hash(name):
        folder /= hashlib.sha256(address.encode()).hexdigest()[:16]
    return folder / (name or 'checkpoint')


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


def _fetch(
    address: str, path: Path, check: Callable[[Path], object] | None
) -> None:
    """Have the right file at a path."""
    record = path.with_name(f'{path.name}.sha256')
    in_name = name_hash(path.name)
    expected, says = SHA256.get(address, in_name), 'as is known of it'
    if not expected and record.is_file():
        expected = record.read_text(errors='replace')[:64]
        says = (
            f'as it did when it first came. If its maker has replaced it, '
            f'delete {record}'
        )
    if path.exists():
        digest = sha256(path)
        if digest.startswith(expected):
            if not in_name:
                _record(record, digest, path.name)
            return
        MMLogger.get_current_instance().warning(
            f'{path} does not have the hash {expected}: fetching it anew'
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(path) as partial:
            came = _copy(address, partial)
            if came.announced not in (None, came.size):
                raise ValueError(
                    f'it ended after {came.size} of {came.announced} bytes'
                )
            other = explain_other(partial)
            if other:
                raise ValueError(f'what comes {other}')
            if not came.sha256.startswith(expected):
                raise ValueError(
                    f'its sha256 is {came.sha256}, which does '
                    f'not begin with {expected}, {says}'
                )
            if check and not (came.is_complete or expected):
                check(partial)
        if not in_name:
            _record(record, came.sha256, path.name)
    except (OSError, HTTPException, ValueError) as error:
        raise CheckpointError(
            f'cannot download {address}: {error}. Download it by other means '
            f'and give its path, or put it at {path}'
        ) from error


def _record(record: Path, digest: str, name: str) -> None:
    """Write down a hash, in the format of `sha256sum`, if it is new."""
    if not record.is_file():
        with replacing(record) as partial:
            partial.write_text(f'{digest}  {name}\n')


def _copy(address: str, target: Path) -> _Fetched:
    """Write what is at an address."""
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
