"""Reading checkpoint files: never executes anything, explains what fails."""
import os
import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Callable, Union
from urllib.error import URLError

import torch
from mmengine.dist import barrier, get_dist_info
from torch.hub import download_url_to_file, get_dir

MapLocation = Union[str, torch.device, Callable, None]

_ADDRESS = re.compile(r'https?://|file://')
_HASH = re.compile(r'-([0-9a-f]{8,64})\.[^.]+$')


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or is not for this model."""


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
        return _download(source)
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


def _download(address: str) -> Path:
    """Fetch a file once; a broken download leaves nothing behind."""
    name = address.split('?')[0].rsplit('/', 1)[-1]
    path = Path(get_dir(), 'checkpoints', name)
    match = _HASH.search(name)

    def fetch() -> None:
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Writes beside the target and renames when all is there.
            download_url_to_file(
                address,
                str(path),
                hash_prefix=match and match[1],
                progress=os.isatty(2))
        except (URLError, RuntimeError, OSError, ValueError) as error:
            raise CheckpointError(
                f'cannot download {address}: {error}. Download it by other '
                f'means and give its path, or put it at {path}') from error

    rank, world_size = get_dist_info()
    if rank == 0:
        fetch()
    if world_size > 1:
        barrier()
        fetch()  # for a machine that does not share the first one's disk
    return path


def _refusal(path: Path, message: str) -> str:
    """What to tell about a file that the restricted reader gave up on."""
    detail = message.split('WeightsUnpickler error:')[-1].strip()
    detail = detail.split('\n')[0]
    named = re.search(
        r'GLOBAL (.+?)(?: was not| whose module| is not allowed|$)', detail)
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
