"""Remove the folder of a run that could not start."""

import shutil
from contextlib import suppress
from pathlib import Path


class NewFolder:
    """A folder that a run is about to make, with the folders above.

    Args:
        path: The folder, which may exist already.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        self._absent = [
            folder
            for folder in (self.path, *self.path.parents)
            if not folder.exists()
        ]

    def remove(self) -> None:
        """Remove what has been made; a folder that existed before stays."""
        if not self._absent:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):  # others have used the folders above
            for folder in self._absent[1:]:
                folder.rmdir()
