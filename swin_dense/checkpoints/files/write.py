"""Writing checkpoints: complete or not at all, and with their origin."""

import json
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.metadata import _KEY, _meta_of
from swin_dense.checkpoints.layouts.translate import extract_state_dict
from swin_dense.files import replacing

_SUFFIXES = ('.pth', '.pt', '.bin', '.safetensors')


def check_destination(
    path: str | os.PathLike, force: bool, source: Path | None = None
) -> Path:
    """Refuse, before any work, a file that must not or cannot be written.

    Args:
        path: The file.
        force: Whether it may replace one that exists.
        source: A file that it must not replace anyway.

    Raises:
        CheckpointError: If the file exists and `force` is not given, is the
            source or no place for a file, or has a suffix of no checkpoint.
        ImportError: If safetensors is wanted and not installed.
    """
    path = Path(path).expanduser()
    if path.is_dir() or not path.parent.is_dir():
        what = (
            'is a folder'
            if path.is_dir()
            else (f'cannot be written: there is no folder {path.parent}')
        )
        raise CheckpointError(f'{path} {what}; give the path of a new file')
    if path.suffix not in _SUFFIXES:
        raise CheckpointError(
            f'{path}: the suffix decides how a checkpoint is written; end the '
            'name in .safetensors, or in .pth for a file of torch.save'
        )
    if path.exists() and not force:
        raise CheckpointError(
            f'{path} exists: give another path, or --force to replace it'
        )
    if path.suffix == '.safetensors':
        _safetensors()
    if source is not None and path.exists() and path.samefile(source):
        raise CheckpointError(f'{path} is SRC itself: give another DST')
    return path


def write_checkpoint(
    path: str | os.PathLike,
    checkpoint: Mapping[str, Any],
    metadata: Mapping[str, Any],
    force: bool = False,
) -> None:
    """Write a checkpoint as safetensors or by PyTorch, as the suffix says.

    Args:
        path: The file; its folder must exist.
        checkpoint: A state_dict, or a dictionary with one under `state_dict`
            or `model`. Of the latter, safetensors keeps the tensors, and of
            `meta` what JSON can hold.
        metadata: Where the weights come from and what was done to them, in
            numbers, strings, lists and dictionaries; see `metadata_of`. A
            bare state_dict stays bare.
        force: Whether to replace a file that exists.

    Raises:
        CheckpointError: See `check_destination`.
        ImportError: If safetensors is wanted and not installed.
    """
    path = check_destination(path, force)
    if path.suffix == '.safetensors':
        meta = {**_meta_of(checkpoint), _KEY: dict(metadata)}
        header = {'format': 'pt', 'meta': json.dumps(_plain(meta))}
        tensors = _independent(extract_state_dict(checkpoint), shared=False)
        with replacing(path) as partial:
            _safetensors()(tensors, partial, metadata=header)
        return
    # Into an open file: by a path, torch.save would store its name, and equal
    # weights would have another hash each time.
    with replacing(path) as partial, open(partial, 'wb') as file:
        torch.save(_with_metadata(checkpoint, metadata), file)


def _with_metadata(
    checkpoint: Mapping[str, Any], metadata: Mapping[str, Any]
) -> Mapping[str, Any]:
    """A shallow copy of the checkpoint that carries the metadata."""
    if not all(map(torch.is_tensor, checkpoint.values())):
        meta = {**_meta_of(checkpoint), _KEY: dict(metadata)}
        copy = {
            name: _independent(value) if _is_state_dict(value) else value
            for name, value in checkpoint.items()
        }
        return {**copy, 'meta': meta}
    # A further entry would be an unexpected weight to whoever loads it;
    # PyTorch itself keeps the versions of modules in such an attribute.
    bare = OrderedDict(_independent(checkpoint))
    vars(bare).update(
        vars(checkpoint) if isinstance(checkpoint, OrderedDict) else {},
        **{_KEY: dict(metadata)},
    )
    return bare


def _is_state_dict(value: Any) -> bool:
    return isinstance(value, Mapping) and any(
        map(torch.is_tensor, value.values())
    )


def _independent(
    tensors: Mapping[str, Any], shared: bool = True
) -> dict[str, Any]:
    """Copy the tensors that are parts of others, which would be stored whole.

    Args:
        tensors: Names and tensors; anything else is kept.
        shared: Whether several names may stand for one tensor.
    """
    known: set[int] = set()
    result = {}
    for name, value in tensors.items():
        if (
            torch.is_tensor(value)
            and not _is_whole(value)
            or (not shared and value.data_ptr() in known)
        ):
            value = value.clone(memory_format=torch.contiguous_format)
        if not shared:
            known.add(value.data_ptr())
        result[name] = value
    return result


def _is_whole(value: Tensor) -> bool:
    size = value.numel() * value.element_size()
    return value.is_contiguous() and value.untyped_storage().nbytes() == size


def _plain(value: Any) -> Any:
    """The part of a structure that JSON can hold; None stands for the rest."""
    if isinstance(value, Mapping):
        plain = {str(key): _plain(entry) for key, entry in value.items()}
        return {
            key: entry for key, entry in plain.items() if entry is not None
        }
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value if isinstance(value, (str, int, float, bool)) else None


def _safetensors() -> Any:
    try:
        from safetensors.torch import save_file
    except ImportError as error:
        raise ImportError(
            'to write .safetensors: pip install safetensors; or give a name '
            'that ends in .pth'
        ) from error
    return save_file
