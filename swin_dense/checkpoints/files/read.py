"""Read checkpoint files without executing code, and explain failures."""

import json
import math
import os
import re
from collections.abc import Collection
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.parse import unquote, urlsplit

import torch

from swin_dense.checkpoints.errors import (
    CheckpointError,
    DeviceError,
    MalformedError,
)
from swin_dense.checkpoints.files.archives import (
    max_bytes,
    open_archive,
    open_legacy,
)
from swin_dense.checkpoints.files.download import download
from swin_dense.checkpoints.files.parts import Parts, find_parts
from swin_dense.checkpoints.files.pickles import Call
from swin_dense.checkpoints.files.records import MapLocation, Storages
from swin_dense.checkpoints.files.restore import Restorer
from swin_dense.checkpoints.files.sniff import (
    explain_other,
    is_archive,
    is_safetensors,
)
from swin_dense.checkpoints.layouts.translate import extract_state_dict
from swin_dense.limits import LimitError, advice

# Keys of the state of a training run, which is not needed to use the weights.
TRAINING_STATE = (
    'optimizer',
    'param_schedulers',
    'message_hub',
    'ema_state_dict',
    'accumulated_gradients',
)
_NOT_DENSE = {
    'torch._utils._rebuild_sparse_tensor': 'sparse tensors',
    'torch._utils._rebuild_qtensor': 'quantized tensors',
    'torch._utils._rebuild_nested_tensor': 'nested tensors',
    'torch._utils._rebuild_meta_tensor_no_storage': 'tensors without content',
    'torch._utils._rebuild_wrapper_subclass': 'tensors of another class',
    'torch._tensor._rebuild_from_type_v2': 'tensors of another class',
}


def read_checkpoint(
    source: str | os.PathLike,
    map_location: MapLocation = 'cpu',
    *,
    mmap: bool = False,
    check: bool = True,
    without: Collection[str] = (),
) -> dict[str, Any]:
    """Read a checkpoint of torch.save or safetensors.

    The content decides which of the two a file is, not its name. A file of
    torch.save is read as data: dense tensors, arrays and numbers of numpy,
    mmengine's histories, plain values and containers of these.

    Args:
        source: Path, or address starting with http://, https:// or file://.
            A download is kept in torch's hub folder, see `download`.
        map_location: Device for the tensors, as in `torch.load`; for
            safetensors a device or its name.
        mmap: If true, tensors stay in the file until they are used. This
            saves memory if they are copied or only inspected. The file must
            not change in the meantime. Compressed records are read at once.
        check: If true, checksums of tensors that stay in the file are
            compared, which reads through them once. Checksums of other
            tensors are always compared. Only zip archives, as PyTorch writes
            them since 1.6, have checksums.
        without: Top-level keys to leave out; their checksums are not
            compared.

    Returns:
        The stored dictionary. For safetensors, a dictionary of `state_dict`
        and `meta`, the metadata in the header.

    Raises:
        CheckpointError: If the file does not exist, is truncated or damaged,
            holds no dictionary, would take more memory than the limits allow,
            or holds an object that only code can restore. No such code is
            executed.
        ImportError: If the file is safetensors and that package is missing.
    """
    return _read_file(local_file(source), map_location, mmap, check, without)


def _read_file(
    path: Path,
    map_location: MapLocation = 'cpu',
    mmap: bool = True,
    check: bool = True,
    without: Collection[str] = (),
) -> dict:
    """Read a file; see `read_checkpoint`."""
    problem = explain_other(path)
    if problem:
        raise CheckpointError(f'{path} {problem}')
    if is_safetensors(path):
        return _read_safetensors(path, map_location, mmap)
    parts = find_parts(path)
    if parts is not None:
        return _read_parts(path, parts, map_location)
    checkpoint = _load(path, map_location, mmap, check, without)
    if not isinstance(checkpoint, dict):
        raise CheckpointError(
            f'{path} holds a {type(checkpoint).__name__}, no dictionary of '
            'weights: expected a state_dict, or a checkpoint with one under '
            '"state_dict" or "model"'
        )
    return checkpoint


def _read_parts(
    path: Path, parts: Parts, map_location: MapLocation
) -> dict[str, Any]:
    """Read the files that a training with experts wrote, as one checkpoint.

    Args:
        path: The zip archive with these files, or the one that holds all
            parameters but experts, next to the others.
        parts: The files, see `find_parts`.
        map_location: See `read_checkpoint`.
    """
    allowed = max_bytes(path) if parts.is_archived else math.inf

    def read(part: Path, name: str) -> dict[str, Any]:
        nonlocal allowed
        try:
            content = _load(part, map_location, False, True, TRAINING_STATE)
        except CheckpointError as error:
            text = str(error).replace(str(part), f'{path}, its file {name}')
            raise CheckpointError(text) from error
        if not isinstance(content, dict):
            raise CheckpointError(
                f'{path}: its file {name} holds a {type(content).__name__}, '
                'no dictionary of weights'
            )
        allowed -= sum(
            value.numel() * value.element_size()
            for value in extract_state_dict(content).values()
        )
        if allowed < 0:
            raise LimitError(
                'its files unpack to more than a file of its size may take. '
                + advice('MAX_UNPACKED_GB')
            )
        return content

    try:
        return parts.join(path, read)
    except LimitError as error:
        raise CheckpointError(f'{path} is refused: {error}') from error
    except MalformedError as error:
        raise CheckpointError(_unreadable(path, error)) from error


def local_file(source: str | os.PathLike) -> Path:
    """Return the path of a local file or of a downloaded address.

    Args:
        source: Path, or address starting with http://, https:// or file://.

    Raises:
        CheckpointError: If there is no file, or the download fails.
    """
    source = os.fspath(source)
    if re.match(r'https?://', source):
        return download(source, _read_file)
    if source.startswith('file://'):
        source = unquote(urlsplit(source).path)
    elif '://' in source:
        raise CheckpointError(
            f'{source}: only paths and addresses with http://, https:// or '
            'file:// are read; download the file and give its path'
        )
    path = Path(source).expanduser()
    if path.is_dir():
        files = sorted(
            p.name
            for p in path.iterdir()
            if p.suffix in ('.pth', '.pt', '.bin', '.safetensors')
        )
        inside = f'; it holds {", ".join(files[-5:])}' if files else ''
        raise CheckpointError(
            f'{path} is a folder, expected a checkpoint file{inside}'
        )
    if not path.is_file():
        raise CheckpointError(
            f'checkpoint {path} does not exist (looked in '
            f'{path.absolute().parent}): check the path, or give an address '
            'that starts with https://'
        )
    return path


def _load(
    path: Path,
    map_location: MapLocation,
    mmap: bool,
    check: bool,
    without: Collection[str],
) -> Any:
    """Read a file of torch.save; see `read_checkpoint`."""
    open_content = open_archive if is_archive(path) else open_legacy
    try:
        with open(path, 'rb') as file:
            tree, records, swapped = open_content(path, file)
            entries = tree.items if isinstance(tree, Call) else tree
            for name in without if isinstance(entries, dict) else ():
                entries.pop(name, None)
            storages = Storages(
                path, records, map_location, mmap, check, swapped
            )
            return Restorer(storages, max_bytes(path)).value(tree)
    except UnpicklingError as error:
        raise CheckpointError(_refusal(path, str(error))) from error
    except LimitError as error:
        raise CheckpointError(f'{path} is refused: {error}') from error
    except DeviceError as error:
        raise CheckpointError(f'{path}: {error}') from error
    except MemoryError:
        raise
    except Exception as error:  # a broken file can fail anywhere
        raise CheckpointError(_unreadable(path, error)) from error


def _read_safetensors(
    path: Path, map_location: MapLocation, mmap: bool
) -> dict[str, Any]:
    """Read a safetensors file; see `read_checkpoint`."""
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise ImportError(
            f'{path} is a safetensors file; to read it: pip install '
            'safetensors'
        ) from error
    device = (
        map_location
        if isinstance(map_location, (str, torch.device))
        else 'cpu'
    )
    state_dict = {}
    try:
        with safe_open(path, framework='pt') as file:
            meta = file.metadata() or {}
            for name in file.keys():
                value = file.get_tensor(name)  # mapped, not read
                state_dict[name] = value.to(device, copy=not mmap)
    except MemoryError:
        raise
    except Exception as error:
        raise CheckpointError(_unreadable(path, error)) from error
    return {'meta': _decode(meta), 'state_dict': state_dict}


def _decode(header: dict[str, str]) -> dict[str, Any]:
    """Return the metadata of a header, with the JSON under `meta` decoded."""
    meta: dict[str, Any] = dict(header)
    try:
        written = json.loads(meta.get('meta', ''))
    except (ValueError, RecursionError):
        return meta
    if isinstance(written, dict):
        del meta['meta']
        meta.update(written)
    return meta


def _refusal(path: Path, name: str) -> str:
    """Return the error for a file that names a function or class."""
    if name in _NOT_DENSE:
        return (
            f'{path} is refused: it holds {_NOT_DENSE[name]} ({name}), '
            'and only dense ones are read. Ask its publisher for dense '
            'weights'
        )
    return (
        f'{path} is refused: besides weights it holds {name}, which only '
        'running code could restore. None of it was executed. If you trust '
        'the publisher, ask for the weights alone: '
        'torch.save(model.state_dict(), FILE)'
    )


def _unreadable(path: Path, error: Exception) -> str:
    """Return the error for a file that cannot be decoded."""
    detail = str(error).strip().split('\n')[0] or 'unexpected end of file'
    if not isinstance(error, MalformedError):
        detail = f'{type(error).__name__}: {detail}'
    return (
        f'{path} ({path.stat().st_size} bytes) cannot be read as a '
        f'checkpoint: {detail}. It is truncated, damaged, or no '
        'checkpoint: copy or download it again'
    )
