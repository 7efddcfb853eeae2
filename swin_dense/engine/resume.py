"""Find the checkpoint to resume from."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.logging import MMLogger

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.engine.training_state import progress_of


def find_latest(folder: Path) -> Path | None:
    """Return the newest intact checkpoint that training can resume from.

    `last_checkpoint` names it, unless another file has more iterations and is
    newer: a run may be killed before `last_checkpoint` is updated. Damaged
    files are skipped with a warning.

    Args:
        folder: The work directory.

    Returns:
        Its path, or None if there is no checkpoint to resume from.

    Raises:
        CheckpointError: If there are checkpoints, but all are damaged.
    """
    named = _named(folder)
    files = {*folder.glob('*.pth'), *([named] if named else [])}
    progress: dict[Path, int] = {}
    damaged: list[Path] = []
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
    """Read a checkpoint; return {} for a damaged one and add it to a list."""
    try:
        checkpoint = read_checkpoint(path, mmap=True, check=check)
        if 'message_hub' in checkpoint:
            progress_of(checkpoint)
        return checkpoint
    except ValueError as error:
        damaged.append(path)
        text = str(error) if path.name in str(error) else f'{path}: {error}'
        MMLogger.get_current_instance().warning(f'Skipped: {text}')
        return {}


def _choose(progress: Mapping[Path, int], named: Path | None) -> Path:
    """Return the checkpoint to resume from, given the iteration of each."""
    if named is not None and named in progress:
        start = named
    else:
        start = max(progress, key=_age_key)
    further = [
        path
        for path in progress
        if progress[path] > progress[start]
        and _age_key(path) >= _age_key(start)
    ]
    return max(further, key=progress.__getitem__, default=start)


def _named(folder: Path) -> Path | None:
    """Return the file that `last_checkpoint` names, None if it is absent.

    The folder may have been moved, so a file of this name inside the folder
    comes first.
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
