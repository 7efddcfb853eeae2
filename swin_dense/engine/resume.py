"""Finding the checkpoint to go on from."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.logging import MMLogger

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.engine.training_state import progress_of


def find_latest(folder: Path) -> Path | None:
    """The newest intact checkpoint that training can be resumed from.

    That is the one named in `last_checkpoint`, unless another got further
    and is newer: a kill may come before that file is brought up to date.
    Damaged files are passed over with a warning.

    Args:
        folder: The work directory.

    Returns:
        Its path, or None if there is no checkpoint to resume from.

    Raises:
        CheckpointError: If there are checkpoints, but every one is damaged.
    """
    named = _named(folder)
    files = {*folder.glob('*.pth'), *([named] if named else [])}
    progress: dict[Path, int] = {}
    damaged = []
    for path in sorted(files):
        if path.name.startswith(('.', 'best_')):  # without optimizer state
            continue
        checkpoint = _read(path, damaged, check=False)
        if 'message_hub' in checkpoint:
            progress[path] = progress_of(checkpoint)[1]
    while progress:
        latest = _choose(progress, named)
        if _read(latest, damaged, check=True):
            return latest
        del progress[latest]
    if damaged:
        raise CheckpointError(
            f'no checkpoint in {folder} is intact '
            f'({", ".join(path.name for path in damaged)}): delete them '
            'or choose another work directory to start anew'
        )
    return None


def _read(path: Path, damaged: list[Path], check: bool) -> dict[str, Any]:
    """Read a checkpoint; one that is damaged is empty, and added to a list."""
    try:
        checkpoint = read_checkpoint(path, mmap=True, check=check)
        if 'message_hub' in checkpoint:
            progress_of(checkpoint)
        return checkpoint
    except ValueError as error:
        damaged.append(path)
        text = str(error) if path.name in str(error) else f'{path}: {error}'
        MMLogger.get_current_instance().warning(f'Passed over: {text}')
        return {}


def _choose(progress: Mapping[Path, int], named: Path | None) -> Path:
    """The checkpoint to go on from, by the iteration of each."""
    start = named if named in progress else max(progress, key=_age_key)
    further = [
        path
        for path in progress
        if progress[path] > progress[start]
        and _age_key(path) >= _age_key(start)
    ]
    return max(further, key=progress.__getitem__, default=start)


def _named(folder: Path) -> Path | None:
    """The file that `last_checkpoint` names, if it is there.

    The folder may have been moved since, so its own file of that name counts.
    """
    pointer = folder / 'last_checkpoint'
    if pointer.is_file():
        text = pointer.read_text(errors='replace').strip()
        for path in (folder / Path(text).name, Path(text)):
            if text and os.path.isfile(path):  # never raises
                return path
    return None


def _age_key(path: Path) -> int:
    return path.stat().st_mtime_ns
