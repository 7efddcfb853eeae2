"""JSON files that grow during a run and are valid at any time."""

import json
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from swin_dense.engine.cli import finite
from swin_dense.files import replacing

# Largest share of the time to spend on replacing the file.
SHARE = 0.05


class JsonStream:
    """A JSON file with a list to which entries are added.

    Entries are collected in a temporary file without a name. `publish`
    replaces the JSON file atomically by all entries so far, so that it is
    complete whenever and however the run ends. `close` writes the rest.

    Args:
        path: The JSON file.
        head: Text before the entries.
        tail: Text after the entries.
    """

    def __init__(
        self, path: Path, head: str = '[\n', tail: str = '\n]\n'
    ) -> None:
        self.path = Path(path)
        self.count = 0
        self._head = head
        self._tail = tail
        self._entries: IO[bytes] | None = None
        self._due = 0.0

    def add(self, entries: Iterable[Any]) -> None:
        """Add entries, each on a line; NaN and infinity become null."""
        file = self._open()
        for entry in entries:
            line = json.dumps(finite(entry), allow_nan=False)
            file.write((',\n' if self.count else '').encode() + line.encode())
            self.count += 1

    def publish(self) -> None:
        """Replace the file by all entries so far, unless done recently.

        Writing takes longer the more entries there are, so it is delayed until
        it takes no more than `SHARE` of the time.
        """
        start = time.monotonic()
        if start < self._due:
            return
        self._write()
        end = time.monotonic()
        self._due = end + (end - start) / SHARE

    def close(self) -> None:
        """Bring the file up to date for the last time."""
        self._write()
        self._open().close()
        self._entries = None

    def _open(self) -> IO[bytes]:
        if self._entries is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._entries = tempfile.TemporaryFile(dir=self.path.parent)
        return self._entries

    def _write(self) -> None:
        entries = self._open()
        with replacing(self.path) as partial, partial.open('wb') as file:
            file.write(self._head.encode())
            entries.seek(0)
            shutil.copyfileobj(entries, file)
            file.write(self._tail.encode())
