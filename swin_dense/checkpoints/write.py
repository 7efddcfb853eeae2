"""Writing checkpoints: complete or not at all, and with their origin."""
import json
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any, Mapping, Union

import torch

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.formats import unwrap
from swin_dense.files import replacing

# Where the metadata of this package is kept: below `meta` of a checkpoint, as
# an attribute of a bare state_dict, as JSON in the header of safetensors.
_KEY = 'swin_dense'


def check_destination(path: Union[str, os.PathLike], force: bool) -> Path:
    """Refuse, before any work, a file that must not or cannot be written.

    Raises:
        CheckpointError: If the file exists and `force` is not given, or is
            no place for a file.
    """
    path = Path(path).expanduser()
    if path.is_dir() or not path.parent.is_dir():
        what = 'is a folder' if path.is_dir() else (
            f'cannot be written: there is no folder {path.parent}')
        raise CheckpointError(f'{path} {what}; give the path of a new file')
    if path.exists() and not force:
        raise CheckpointError(
            f'{path} exists: give another path, or --force to replace it')
    return path


def write_checkpoint(path: Union[str, os.PathLike],
                     checkpoint: Mapping[str, Any],
                     metadata: Mapping[str, Any],
                     force: bool = False) -> None:
    """Write a checkpoint as `.safetensors` or, by any other name, by PyTorch.

    Args:
        path: The file; its folder must exist.
        checkpoint: A state_dict, or a dictionary with one under `state_dict`
            or `model`. Of the latter, safetensors keeps the tensors alone.
        metadata: Where the weights come from and what was done to them, in
            numbers, strings, lists and dictionaries; see `metadata_of`. A
            bare state_dict stays bare.
        force: Whether to replace a file that exists.

    Raises:
        CheckpointError: If the file exists and `force` is not given, or its
            folder does not.
        ImportError: If safetensors is wanted and not installed.
    """
    path = check_destination(path, force)
    if path.suffix == '.safetensors':
        save_file = _safetensors()
        tensors = {k: v.contiguous() for k, v in unwrap(checkpoint).items()}
        header = {'format': 'pt', _KEY: json.dumps(metadata)}
        with replacing(path) as partial:
            save_file(tensors, partial, metadata=header)
        return
    with replacing(path) as partial:
        torch.save(_with_metadata(checkpoint, metadata), partial)


def metadata_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """What `write_checkpoint` recorded in a checkpoint, or nothing."""
    meta = checkpoint.get('meta')
    found = meta.get(_KEY) if isinstance(meta, Mapping) else None
    found = found or getattr(checkpoint, _KEY, None) or {}
    return json.loads(found) if isinstance(found, str) else dict(found)


def _with_metadata(checkpoint: Mapping[str, Any],
                   metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """A shallow copy of the checkpoint that carries the metadata."""
    if not all(map(torch.is_tensor, checkpoint.values())):
        meta = checkpoint.get('meta')
        kept = meta if isinstance(meta, Mapping) else {}
        return {**checkpoint, 'meta': {**kept, _KEY: dict(metadata)}}
    # A further entry would be an unexpected weight to whoever loads it;
    # PyTorch itself keeps the versions of modules in such an attribute.
    bare = OrderedDict(checkpoint)
    vars(bare).update(getattr(checkpoint, '__dict__', {}))
    vars(bare)[_KEY] = dict(metadata)
    return bare


def _safetensors() -> Any:
    try:
        from safetensors.torch import save_file
    except ImportError as error:
        raise ImportError(
            'writing .safetensors needs the package safetensors: pip install '
            'safetensors, or give a name that ends in .pth') from error
    return save_file
