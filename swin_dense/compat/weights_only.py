"""Lets mmengine read its own checkpoints, by the reader of this package.

Since PyTorch 2.6 `torch.load` refuses the objects that mmengine 0.10 stores
besides tensors, unless their classes are allowed for the whole process.
Instead, mmengine's loaders of files and addresses are replaced by
`swin_dense.checkpoints.files.read.read_checkpoint`, which needs no such list,
when `mmengine.runner.checkpoint` is imported.

`Runner.resume` and mmengine's inferencers would also execute the config text
of a checkpoint. The replaced loaders leave this text out.

Remove this file once mmengine reads its checkpoints as data.
"""

import os
import sys
from collections.abc import Mapping
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

from swin_dense.compat.shim import Shim

LOADING = 'mmengine.runner.checkpoint'
_CODE = ('config', 'cfg')


def install() -> None:
    """Replace mmengine's loaders, now or when they are imported.

    Imports nothing; a second call does nothing.
    """
    if LOADING in sys.modules:
        replace_loaders(sys.modules[LOADING])
    elif not any(
        isinstance(finder, LoadingFinder) for finder in sys.meta_path
    ):
        sys.meta_path.insert(0, LoadingFinder())


def replace_loaders(module: ModuleType) -> None:
    """Make mmengine read files and addresses by this package's reader."""
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
    """Finds mmengine's module of loaders where Python does."""

    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the specification of that module; None for other names."""
        if fullname != LOADING:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = LoadingLoader(fullname, spec.loader.path)
        return spec


class LoadingLoader(SourceFileLoader):
    """Runs mmengine's module of loaders, then replaces them."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module."""
        super().exec_module(module)
        replace_loaders(module)


SHIM = Shim(
    name='weights_only',
    reason='PyTorch 2.6 and later refuse the checkpoints of mmengine 0.10, '
    'and mmengine executes the config text that a checkpoint holds.',
    removal='Install an mmengine that reads checkpoints as data.',
    symptom=r'[Ww]eights[_ -]only',
    install=install,
    find_obstacle=lambda: '',
)
