"""Read the storages of a checkpoint file."""

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
    """The position of a record in a file.

    Attributes:
        offset: First byte.
        size: Size of the content in bytes.
        crc: CRC-32 of the content, or None if the file has none.
        packed: Entry of the zip archive if the record is compressed, or None.
    """

    offset: int
    size: int
    crc: int | None = None
    packed: zipfile.ZipInfo | None = None


class RecordFile:
    """A file that consists of records.

    Args:
        file: File open for reading.
        records: Records by name.
        archive: The file as a zip archive, to read compressed records.
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
        """Return the content of a record as a new uint8 tensor.

        Raises:
            MalformedError: If the record ends early, or its checksum differs.
        """
        content = torch.empty(self.records[name].size, dtype=torch.uint8)
        self._scan(name, content.numpy().data)
        return content

    def check(self, name: str) -> None:
        """Compare the checksum of a record, if it has one.

        Raises:
            MalformedError: If the record ends early, or its checksum differs.
        """
        if self.records[name].crc is not None:
            self._scan(name, None)

    def _scan(self, name: str, content: memoryview | None) -> None:
        """Read a record and compare its checksum.

        Args:
            name: Name of the record.
            content: Buffer of the record's size to read into; None to read
                chunk by chunk without keeping the content.
        """
        record = self.records[name]
        if record.packed and self._archive:
            file = self._archive.open(record.packed)
        else:
            file = self._file
            file.seek(record.offset)
        buffer = memoryview(bytearray(_CHUNK)) if content is None else content
        crc = 0
        for start in range(0, record.size, _CHUNK):
            count = min(_CHUNK, record.size - start)
            position = 0 if content is None else start
            chunk = buffer[position : position + count]
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
        path: Path of the file.
        file: Records of the file; a storage is named by its key.
        map_location: Device for the storages, as in `torch.load`.
        mmap: If true, storages stay in the file if possible.
        check: If true, checksums of storages that stay in the file are
            compared.
        swapped: True if numbers have another byte order than this machine.
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
            MalformedError: If there is no such storage, or its size or
                checksum differs.
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
        """Return a storage that stays in the file; None if impossible."""
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
        """Return a storage on the device that `map_location` chooses."""
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
            name = location if target is None else target
            raise DeviceError(
                f'its tensors belong on {name}, which this machine lacks: '
                'read it with map_location="cpu"'
            ) from error


def _map_file(path: Path) -> Any:
    """Map a file as a storage; changes of it do not reach the file."""
    return torch.UntypedStorage.from_file(
        str(path), False, path.stat().st_size
    )


def _fill(file: IO[bytes], buffer: memoryview) -> int:
    """Read into a buffer, and return the number of bytes read."""
    position = 0
    while position < len(buffer):
        count = file.readinto(buffer[position:])  # type: ignore[attr-defined]
        if not count:
            break
        position += count
    return position
