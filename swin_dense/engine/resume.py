"""Finding the checkpoint to go on from."""
from pathlib import Path
from typing import Optional

from mmengine.logging import MMLogger

from swin_dense.checkpoints.load import CheckpointError, read_checkpoint


def find_latest(folder: Path) -> Optional[Path]:
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
        try:
            checkpoint = read_checkpoint(path, mmap=True)
        except CheckpointError as error:
            damaged.append(path)
            MMLogger.get_current_instance().warning(f'Passed over: {error}')
            continue
        if 'message_hub' in checkpoint:
            progress[path] = checkpoint['meta']['iter']
    if not progress:
        if damaged:
            raise CheckpointError(
                f'no checkpoint in {folder} is intact '
                f'({", ".join(path.name for path in damaged)}): delete them '
                'or choose another work directory to start anew')
        return None
    start = named if named in progress else max(progress, key=_age_key)
    further = [
        path for path in progress if progress[path] > progress[start]
        and _age_key(path) >= _age_key(start)
    ]
    return max(further, key=progress.__getitem__, default=start)


def _named(folder: Path) -> Optional[Path]:
    """The file that `last_checkpoint` names, if it is there.

    The folder may have been moved since, so its own file of that name counts.
    """
    pointer = folder / 'last_checkpoint'
    text = pointer.read_text().strip() if pointer.is_file() else ''
    if text:
        for path in (folder / Path(text).name, Path(text)):
            if path.is_file():
                return path
    return None


def _age_key(path: Path) -> int:
    return path.stat().st_mtime_ns
