"""Lets mmengine read its own checkpoints, by the reader of this package.

Since PyTorch 2.6 `torch.load` refuses what mmengine 0.10 stores besides
tensors, unless it is allow-listed for the whole process. Instead, mmengine's
loaders of files and addresses are replaced by
`swin_dense.checkpoints.files.read.read_checkpoint`, which needs no allow-list,
when `mmengine.runner.checkpoint` is imported.

mmengine would also execute the config that it keeps as text in a checkpoint:
`Runner.resume` and the inferencers do. So the loaders leave it out.

Remove this file once mmengine reads its checkpoints as data.
"""

import os
import sys
from collections.abc import Mapping
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

LOADING = 'mmengine.runner.checkpoint'
_CODE = ('config', 'cfg')


def install() -> None:
    """Replace mmengine's loaders, now or when they are imported.

    Imports nothing, and does nothing when called again.
    """
    if LOADING in sys.modules:
        replace_loaders(sys.modules[LOADING])
    elif not any(
        isinstance(finder, LoadingFinder) for finder in sys.meta_path
    ):
        sys.meta_path.insert(0, LoadingFinder())


def replace_loaders(module: ModuleType) -> None:
    """Make mmengine read files and addresses by our reader."""
    for function, prefixes in (
        (load_from_local, ''),
        (load_from_http, ('http://', 'https://')),
    ):
        module.CheckpointLoader.register_scheme(  # type: ignore[attr-defined]
            prefixes, function, force=True
        )
        # Loaders of other schemes call them by name.
        setattr(module, function.__name__, function)


def load_from_local(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Read a checkpoint file.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: See `read_checkpoint`.
    """
    from swin_dense.checkpoints.files.read import read_checkpoint

    filename = os.path.expanduser(filename)
    if not os.path.isfile(filename):
        raise FileNotFoundError(f'{filename} can not be found.')
    return without_code(read_checkpoint(filename, map_location))


def load_from_http(
    filename: str, map_location: Any = None, **unused: Any
) -> dict[str, Any]:
    """Read the checkpoint at an address, see `download`.

    Raises:
        CheckpointError: See `read_checkpoint`.
    """
    from swin_dense.checkpoints.files.read import read_checkpoint

    return without_code(read_checkpoint(filename, map_location))


def without_code(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint without the configs that mmengine would execute."""
    changed = {}
    if isinstance(checkpoint.get('meta'), Mapping):
        changed['meta'] = _without(checkpoint['meta'])
    hub = checkpoint.get('message_hub')
    if isinstance(hub, Mapping) and isinstance(
        hub.get('runtime_info'), Mapping
    ):
        changed['message_hub'] = {
            **hub,
            'runtime_info': _without(hub['runtime_info']),
        }
    if not changed:  # a bare state_dict keeps its attributes
        return checkpoint
    return {**checkpoint, **changed}


def _without(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in entries.items() if k not in _CODE}


class LoadingFinder(MetaPathFinder):
    """Finds mmengine's module of loaders as Python would."""

    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the specification of that module, for its name only."""
        if fullname != LOADING:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = LoadingLoader(fullname, spec.loader.path)
        return spec


class LoadingLoader(SourceFileLoader):
    """Runs that module, then replaces its loaders."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module."""
        super().exec_module(module)
        replace_loaders(module)
