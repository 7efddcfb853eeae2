"""The storages of a checkpoint file: where they lie, and reading them."""

import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch

from swin_dense.checkpoints.errors import DeviceError, MalformedError

MapLocation = str | torch.device | Callable | Mapping[str, str] | None

_CHUNK = 1 << 20  # bytes


class Record(NamedTuple):
    """A stretch of a file.

    Attributes:
        offset: Where it starts, in bytes.
        size: Bytes of its content.
        crc: Its CRC-32, where the file has one.
        packed: Its entry of the zip archive, if it is compressed.
    """

    offset: int
    size: int
    crc: int | None = None
    packed: zipfile.ZipInfo | None = None


class RecordFile:
    """A file that consists of records.

    Args:
        file: Open for reading.
        records: Its records by name.
        archive: The zip archive that has the compressed ones.
    """

    def __init__(
        self,
        file: IO[bytes],
        records: Mapping[str, Record],
        archive: zipfile.ZipFile | None = None,
    ) -> None:
        self.records = records
        self._file = file
        self._archive = archive

    def read(self, name: str) -> torch.Tensor:
        """Return the content of a record in memory of its own, uint8.

        Raises:
            MalformedError: If it ends early, or does not have its checksum.
        """
        content = torch.empty(self.records[name].size, dtype=torch.uint8)
        self._scan(name, content.numpy().data)
        return content

    def check(self, name: str) -> None:
        """Compare a record with its checksum, if it has one.

        Raises:
            MalformedError: If it ends early, or does not have its checksum.
        """
        if self.records[name].crc is not None:
            self._scan(name, None)

    def _scan(self, name: str, content: memoryview | None) -> None:
        """Read through a record, into a buffer of its size if there is any."""
        record = self.records[name]
        if record.packed and self._archive:
            file = self._archive.open(record.packed)
        else:
            file = self._file
            file.seek(record.offset)
        passing = memoryview(bytearray(_CHUNK)) if content is None else content
        crc = 0
        for start in range(0, record.size, _CHUNK):
            count = min(_CHUNK, record.size - start)
            position = 0 if content is None else start
            chunk = passing[position : position + count]
            if _fill(file, chunk) < count:
                raise MalformedError(f'it ends within its record {name}')
            crc = zlib.crc32(chunk, crc)
        if record.crc not in (None, crc):
            raise MalformedError(
                f'its record {name} does not have the checksum '
                'that it was written with'
            )


class Storages:
    """The storages of a file, each loaded once.

    Args:
        path: The file.
        file: Its records; those of storages are named by their keys.
        map_location: Where to put them, as in `torch.load`.
        mmap: Whether to leave them in the file where that is possible.
        check: Whether to compare the checksums of those left in the file.
        swapped: Whether numbers have the other byte order than here.
    """

    def __init__(
        self,
        path: Path,
        file: RecordFile,
        map_location: MapLocation = 'cpu',
        mmap: bool = False,
        check: bool = True,
        swapped: bool = False,
    ) -> None:
        self._file = file
        self._map_location = map_location
        self._check = check
        self._swapped = swapped
        self._loaded: dict[str, torch.UntypedStorage] = {}
        self._mapped = _map_file(path) if mmap else None

    def load(
        self, key: str, dtype: torch.dtype, numel: int, location: str
    ) -> torch.UntypedStorage:
        """Return a storage of exactly `numel` elements of `dtype`.

        Raises:
            MalformedError: If there is no such storage, it has another size,
                or it does not have its checksum.
        """
        record = self._file.records.get(key)
        if record is None:
            raise MalformedError(f'it lacks its storage {key}')
        if record.size != numel * dtype.itemsize:
            raise MalformedError(
                f'its storage {key} has {record.size} bytes, and {numel} '
                f'numbers of {dtype} have {numel * dtype.itemsize}'
            )
        if key not in self._loaded:
            storage = self._map(key, record, dtype.itemsize)
            if storage is None:
                storage = self._file.read(key).untyped_storage()
            if self._swapped:
                storage.byteswap(dtype)
            self._loaded[key] = self._place(storage, location)
        return self._loaded[key]

    def _map(
        self, key: str, record: Record, itemsize: int
    ) -> torch.UntypedStorage | None:
        """Return a storage that stays in the file, or None."""
        end = record.offset + record.size
        if (
            self._mapped is None
            or record.packed
            or not record.size
            or record.offset % itemsize
            or end > self._mapped.nbytes()
        ):
            return None
        if self._check:
            self._file.check(key)
        return self._mapped[record.offset : end]

    def _place(
        self, storage: torch.UntypedStorage, location: str
    ) -> torch.UntypedStorage:
        """Move a storage to its device."""
        target = self._map_location
        if isinstance(target, Mapping):
            target = target.get(location)
        elif callable(target):
            result = target(storage, location)
            if result is not None:
                return result
            target = None
        try:
            device = torch.device(location if target is None else target)
            if device == storage.device:
                return storage
            content = torch.empty(0, dtype=torch.uint8).set_(storage)
            return content.to(device).untyped_storage()
        except (RuntimeError, AssertionError) as error:
            wanted = location if target is None else target
            raise DeviceError(
                f'its tensors belong on {wanted}, which is not here: read it '
                'with map_location="cpu"'
            ) from error


def _map_file(path: Path) -> Any:
    """Return a file as a storage whose changes stay in memory."""
    return torch.UntypedStorage.from_file(
        str(path), False, path.stat().st_size
    )


def _fill(file: IO[bytes], buffer: memoryview) -> int:
    """Read into a buffer, and return how many bytes there were."""
    position = 0
    while position < len(buffer):
        count = file.readinto(buffer[position:])  # type: ignore[attr-defined]
        if not count:
            break
        position += count
    return position
