"""Reading checkpoint files: never executes anything, explains what fails."""
import os
import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Callable, Union

import torch

from swin_dense.checkpoints.download import download
from swin_dense.checkpoints.errors import CheckpointError

MapLocation = Union[str, torch.device, Callable, None]

_ADDRESS = re.compile(r'https?://|file://')


def read_checkpoint(source: Union[str, os.PathLike],
                    map_location: MapLocation = 'cpu',
                    *,
                    mmap: bool = False) -> dict[str, Any]:
    """Read a checkpoint file with `weights_only=True`.

    Args:
        source: Path, or address starting with http://, https:// or file://.
            A download is kept in torch's hub folder; its hash is checked
            where the name carries one (`name-0123abcd.pth`).
        map_location: Device for the tensors, as in `torch.load`.
        mmap: Whether to leave the tensors in the file until they are used;
            enough, and fast, to see what is in it.

    Returns:
        The dictionary that was stored.

    Raises:
        CheckpointError: If there is no such file, it cannot be read to its
            end, holds no dictionary, or holds anything that only code could
            restore. The last is refused before any of it is executed.
    """
    path = _local_file(os.fspath(source))
    try:
        checkpoint = torch.load(
            path, map_location=map_location, weights_only=True, mmap=mmap)
    except UnpicklingError as error:
        raise CheckpointError(_refusal(path, str(error))) from error
    except MemoryError:
        raise
    except Exception as error:  # a broken file can fail anywhere in torch
        raise CheckpointError(_unreadable(path, error)) from error
    if not isinstance(checkpoint, dict):
        raise CheckpointError(
            f'{path} holds a {type(checkpoint).__name__}, no dictionary of '
            'weights: expected a state_dict, or a checkpoint with one under '
            '"state_dict" or "model"')
    return checkpoint


def _local_file(source: str) -> Path:
    """The file of a path or address, downloaded where needed."""
    if _ADDRESS.match(source):
        return download(source)
    if '://' in source:
        raise CheckpointError(
            f'{source}: only paths and addresses with http://, https:// or '
            'file:// are read; download the file and give its path')
    path = Path(source).expanduser()
    if path.is_dir():
        files = sorted(p.name for p in path.glob('*.pth'))
        inside = f'; it holds {", ".join(files[-5:])}' if files else ''
        raise CheckpointError(
            f'{path} is a folder, expected a checkpoint file{inside}')
    if not path.is_file():
        raise CheckpointError(
            f'checkpoint {path} does not exist (looked in '
            f'{path.absolute().parent}): check the path, or give an address '
            'that starts with https://')
    return path


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
            'damaged, or no file of torch.save: copy or download it again')
