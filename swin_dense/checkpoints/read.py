"""Reading checkpoint files: never executes anything, explains what fails."""
import json
import os
import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Callable, Union
from urllib.parse import unquote, urlsplit

import torch

from swin_dense.checkpoints.containers import (explain_other, is_archive,
                                               is_safetensors)
from swin_dense.checkpoints.download import download
from swin_dense.checkpoints.errors import CheckpointError

MapLocation = Union[str, torch.device, Callable, None]


def read_checkpoint(source: Union[str, os.PathLike],
                    map_location: MapLocation = 'cpu',
                    *,
                    mmap: bool = False) -> dict[str, Any]:
    """Read a checkpoint: a file of torch.save, or safetensors.

    Which of the two a file is, its content tells, whatever its name. Files
    of torch.save are read with `weights_only=True`.

    Args:
        source: Path, or address starting with http://, https:// or file://.
            A download is kept in torch's hub folder, see `download`.
        map_location: Device for the tensors, as in `torch.load`; for
            safetensors a device or its name.
        mmap: Whether to leave the tensors in the file until they are used.
            Saves memory and time where they are copied or only looked at;
            the file must not be changed in the meantime. Files of PyTorch
            before 1.6 cannot be mapped and are read whole.

    Returns:
        The dictionary that was stored. Of safetensors, one of `state_dict`
        and `meta`, the latter being the metadata of its header.

    Raises:
        CheckpointError: If there is no such file, it cannot be read to its
            end, holds no dictionary, or holds anything that only code could
            restore. The last is refused before any of it is executed.
        ImportError: If it is safetensors and that package is not installed.
    """
    path = local_file(source)
    other = explain_other(path)
    if other:
        raise CheckpointError(f'{path} {other}')
    if is_safetensors(path):
        return _read_safetensors(path, map_location, mmap)
    checkpoint = _load(path, map_location, mmap)
    if not isinstance(checkpoint, dict):
        raise CheckpointError(
            f'{path} holds a {type(checkpoint).__name__}, no dictionary of '
            'weights: expected a state_dict, or a checkpoint with one under '
            '"state_dict" or "model"')
    return checkpoint


def local_file(source: Union[str, os.PathLike]) -> Path:
    """The file of a path or address, downloaded where needed.

    Raises:
        CheckpointError: If there is none, or it cannot be downloaded.
    """
    source = os.fspath(source)
    if re.match(r'https?://', source):
        return download(source)
    if source.startswith('file://'):
        source = unquote(urlsplit(source).path)
    elif '://' in source:
        raise CheckpointError(
            f'{source}: only paths and addresses with http://, https:// or '
            'file:// are read; download the file and give its path')
    path = Path(source).expanduser()
    if path.is_dir():
        files = sorted(p.name for p in path.iterdir()
                       if p.suffix in ('.pth', '.pt', '.bin', '.safetensors'))
        inside = f'; it holds {", ".join(files[-5:])}' if files else ''
        raise CheckpointError(
            f'{path} is a folder, expected a checkpoint file{inside}')
    if not path.is_file():
        raise CheckpointError(
            f'checkpoint {path} does not exist (looked in '
            f'{path.absolute().parent}): check the path, or give an address '
            'that starts with https://')
    return path


def _load(path: Path, map_location: MapLocation, mmap: bool) -> Any:
    # Files of PyTorch before 1.6 cannot be mapped; and by a path that ends in
    # .safetensors PyTorch would take the file for one.
    mmap = mmap and is_archive(path) and path.suffix != '.safetensors'
    try:
        if mmap:
            return torch.load(
                path, map_location=map_location, weights_only=True, mmap=True)
        with open(path, 'rb') as file:
            return torch.load(
                file, map_location=map_location, weights_only=True)
    except UnpicklingError as error:
        raise CheckpointError(_refusal(path, str(error))) from error
    except MemoryError:
        raise
    except Exception as error:  # a broken file can fail anywhere in torch
        raise CheckpointError(_unreadable(path, error)) from error


def _read_safetensors(path: Path, map_location: MapLocation,
                      mmap: bool) -> dict[str, Any]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ImportError(
            f'{path} is a safetensors file; to read it: pip install '
            'safetensors') from error
    device = map_location if isinstance(map_location,
                                        (str, torch.device)) else 'cpu'
    state_dict = {}
    try:
        with safe_open(path, framework='pt') as file:
            meta = file.metadata() or {}
            for name in file.keys():
                value = file.get_tensor(name)  # stays in the file
                state_dict[name] = value.to(device, copy=not mmap)
    except SafetensorError as error:
        raise CheckpointError(_unreadable(path, error)) from error
    return {'meta': _decode(meta), 'state_dict': state_dict}


def _decode(header: dict[str, str]) -> dict[str, Any]:
    """The metadata of a header; under `meta`, it may hold JSON of ours."""
    meta: dict[str, Any] = dict(header)
    try:
        ours = json.loads(meta.get('meta', ''))
    except ValueError:
        return meta
    if isinstance(ours, dict):
        del meta['meta']
        meta.update(ours)
    return meta


def _refusal(path: Path, message: str) -> str:
    """What to tell about a file that the restricted reader gave up on."""
    named = re.search(
        r'GLOBAL (.+?)(?: was not| whose module| is not allowed|$)', message,
        re.MULTILINE)
    detail = message.split('WeightsUnpickler error:')[-1].strip()
    detail = detail.split('\n')[0]
    if named is None and 'Unsupported operand' in detail:
        return _unreadable(path, UnpicklingError(detail))
    what = named[1] if named else f'something else ({detail})'
    return (f'{path} is refused: besides weights it holds {what}, which '
            'would take running code to restore. Nothing of it was executed. '
            'If you trust its maker, have them save the weights alone: '
            'torch.save(model.state_dict(), FILE)')


def _unreadable(path: Path, error: Exception) -> str:
    detail = str(error).strip().split('\n')[0] or 'unexpected end of file'
    return (f'{path} ({path.stat().st_size} bytes) cannot be read as a '
            f'checkpoint: {type(error).__name__}: {detail}. It is truncated, '
            'damaged, or no checkpoint: copy or download it again')
