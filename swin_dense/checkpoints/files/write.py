"""Write checkpoints atomically, with metadata on their origin."""

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
    """Check, before any work, that a file can and may be written.

    Args:
        path: The file to write.
        force: If true, an existing file may be replaced.
        source: A file that must not be replaced in any case.

    Returns:
        The path, with `~` expanded.

    Raises:
        CheckpointError: If the file exists and `force` is false; if it is the
            source; if its folder does not exist; or if its suffix is not that
            of a checkpoint.
        ImportError: If safetensors are to be written and the package is
            missing.
    """
    path = Path(path).expanduser()
    if path.is_dir() or not path.parent.is_dir():
        problem = (
            'is a folder'
            if path.is_dir()
            else f'cannot be written: there is no folder {path.parent}'
        )
        raise CheckpointError(f'{path} {problem}; give the path of a new file')
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
    """Write a checkpoint by safetensors or torch.save, by its suffix.

    Args:
        path: The file; its folder must exist.
        checkpoint: A state_dict, or a dictionary with one under `state_dict`
            or `model`. Safetensors keep only the tensors of the state_dict,
            and the values in `meta` that JSON can hold.
        metadata: Origin and changes of the weights, in numbers, strings,
            lists and dictionaries; see `metadata_of`. A state_dict without
            wrapper gets it as an attribute.
        force: If true, an existing file is replaced.

    Raises:
        CheckpointError: See `check_destination`.
        ImportError: If safetensors are to be written and the package is
            missing.
    """
    path = check_destination(path, force)
    if path.suffix == '.safetensors':
        meta = {**_meta_of(checkpoint), _KEY: dict(metadata)}
        header = {'format': 'pt', 'meta': json.dumps(_plain(meta))}
        tensors = _independent(extract_state_dict(checkpoint), shared=False)
        with replacing(path) as partial:
            _safetensors()(tensors, partial, metadata=header)
        return
    # Given a path, torch.save would store its name, so that equal weights
    # would have another hash each time.
    with replacing(path) as partial, open(partial, 'wb') as file:
        torch.save(_with_metadata(checkpoint, metadata), file)


def _with_metadata(
    checkpoint: Mapping[str, Any], metadata: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return a shallow copy of a checkpoint that has the metadata."""
    if not all(map(torch.is_tensor, checkpoint.values())):
        meta = {**_meta_of(checkpoint), _KEY: dict(metadata)}
        copy = {
            name: _independent(value) if _is_state_dict(value) else value
            for name, value in checkpoint.items()
        }
        return {**copy, 'meta': meta}
    # An entry would be an unexpected weight to every loader. PyTorch itself
    # keeps the versions of modules in an attribute.
    bare = OrderedDict(_independent(checkpoint))
    vars(bare).update(
        vars(checkpoint) if isinstance(checkpoint, OrderedDict) else {},
        **{_KEY: dict(metadata)},
    )
    return bare


def _is_state_dict(value: Any) -> bool:
    """Return True for a mapping with tensors."""
    return isinstance(value, Mapping) and any(
        map(torch.is_tensor, value.values())
    )


def _independent(
    tensors: Mapping[str, Any], shared: bool = True
) -> dict[str, Any]:
    """Clone tensors that are views, whose base would be stored whole.

    Args:
        tensors: Names and tensors; values of other types are kept.
        shared: If true, several names may have the same tensor.
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
    """Return True if a tensor fills its storage in order."""
    size = value.numel() * value.element_size()
    return value.is_contiguous() and value.untyped_storage().nbytes() == size


def _plain(value: Any) -> Any:
    """Return the values that JSON can hold; None in place of others."""
    if isinstance(value, Mapping):
        plain = {str(key): _plain(entry) for key, entry in value.items()}
        return {
            key: entry for key, entry in plain.items() if entry is not None
        }
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value if isinstance(value, (str, int, float, bool)) else None


def _safetensors() -> Any:
    """Return `save_file` of safetensors, or raise if it is missing."""
    try:
        from safetensors.torch import save_file
    except ImportError as error:
        raise ImportError(
            'to write .safetensors: pip install safetensors; or give a name '
            'that ends in .pth'
        ) from error
    return save_file
