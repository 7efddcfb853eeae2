"""Open the two kinds of files that torch.save writes.

Since PyTorch 1.6 a checkpoint is a zip archive of a pickle and a record for
each storage. Before, the storages followed the pickles in a plain file.
"""

import io
import mmap
import struct
import sys
import zipfile
from pathlib import Path
from typing import IO, Any, NamedTuple

from swin_dense.checkpoints.errors import MalformedError
from swin_dense.checkpoints.files.pickles import Stored, parse_pickle
from swin_dense.checkpoints.files.records import Record, RecordFile
from swin_dense.checkpoints.files.restore import ALLOWED, storage_size
from swin_dense.limits import LimitError, advice, limit

_LOCAL_HEADER = struct.Struct('<4s22xHH')
_LEGACY_START = [0x1950A86A20F9469CFC6C, 1001]  # magic number, version
_ENCRYPTED = 1
_COUNT = struct.Struct('<q')


class Content(NamedTuple):
    """The content of a file of torch.save.

    Attributes:
        tree: The pickle as data, see `parse_pickle`.
        storages: One record for each storage, named by its key.
        swapped: True if numbers have another byte order than this machine.
    """

    tree: Any
    storages: RecordFile
    swapped: bool


def max_bytes(path: Path) -> float:
    """Return the most memory that the content of a file may take, in bytes."""
    default = max(4 * path.stat().st_size, 1 << 28)
    return limit('MAX_UNPACKED_GB', default / 2**30) * 2**30


def open_archive(path: Path, file: IO[bytes]) -> Content:
    """Read the directory and the pickle of a zip archive.

    Raises:
        LimitError: If the content would take too much memory.
        UnpicklingError: If the pickle names anything that is not allowed.
        MalformedError, zipfile.BadZipFile: If the file is damaged.
    """
    archive = zipfile.ZipFile(file)
    records = locate_records(path, file, archive)
    pickles = [
        name for name in records if name.rpartition('/')[2] == 'data.pkl'
    ]
    if len(pickles) != 1:
        raise MalformedError(f'it holds {len(pickles)} pickles, expected one')
    whole = RecordFile(file, records, archive)
    tree = parse_pickle(
        io.BytesIO(whole.read(pickles[0]).numpy().data), ALLOWED
    )
    root = pickles[0].removesuffix('data.pkl')
    order = 'little'
    if f'{root}byteorder' in records:
        order = bytes(whole.read(f'{root}byteorder').tolist()).decode()
    storages = {
        name.removeprefix(f'{root}data/'): record
        for name, record in records.items()
        if name.startswith(f'{root}data/')
    }
    return Content(
        tree, RecordFile(file, storages, archive), order != sys.byteorder
    )


def locate_records(
    path: Path, file: IO[bytes], archive: zipfile.ZipFile
) -> dict[str, Record]:
    """Return the records of a zip archive by name, in the order of the file.

    Raises:
        LimitError: If the content would take too much memory.
        MalformedError: If the directory of the archive is damaged or forged.
    """
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if len(set(names)) < len(names):
        raise MalformedError('it holds several records of one name')
    total, allowed = sum(e.file_size for e in entries), max_bytes(path)
    if total > allowed:
        raise LimitError(
            f'it unpacks to {total / 2**30:.2f} GB, and a file of its size '
            f'may take {allowed / 2**30:.2f} GB. ' + advice('MAX_UNPACKED_GB')
        )
    records, end = {}, 0
    if min((entry.header_offset for entry in entries), default=0):
        # The end of an archive inside of a truncated archive.
        raise MalformedError('its directory is of a part of the file alone')
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise MalformedError('its records overlap')
        record = records[entry.filename] = _locate(file, entry)
        end = record.offset + entry.compress_size
    return records


def open_legacy(path: Path, file: IO[bytes]) -> Content:
    """Read the pickles of a file of PyTorch before 1.6, and find storages.

    Raises:
        UnpicklingError: If a pickle names anything that is not allowed.
        MalformedError: If the file is damaged.
    """
    # Mapped, since the file may state any length.
    content: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    for expected in _LEGACY_START:
        if parse_pickle(content, ALLOWED) != expected:
            raise MalformedError('it does not begin as a checkpoint does')
    system = parse_pickle(content, ALLOWED)
    little = system['little_endian'] if isinstance(system, dict) else True
    stored: list[Stored] = []
    tree = parse_pickle(content, ALLOWED, stored)
    lengths: dict[str, list[int]] = {}
    for reference in stored:
        key, *length = storage_size(reference)
        if lengths.setdefault(key, length) != length:
            raise MalformedError(f'it describes its storage {key} in two ways')
    records = {}
    keys, position = parse_pickle(content, ALLOWED), content.tell()
    for key in keys:
        numel, itemsize = lengths[key]
        head = content[position : position + _COUNT.size]
        position += _COUNT.size
        records[key] = Record(position, numel * itemsize)
        position += numel * itemsize
        if position > len(content):
            raise MalformedError(f'it ends within its storage {key}')
        if _COUNT.unpack(head) != (numel,):
            raise MalformedError(
                f'its storage {key} has another length than '
                'its description says'
            )
    return Content(
        tree,
        RecordFile(file, records),
        bool(little) != (sys.byteorder == 'little'),
    )


def _locate(file: IO[bytes], entry: zipfile.ZipInfo) -> Record:
    """Return the position of an entry's content, behind its local header."""
    name = entry.filename
    if entry.flag_bits & _ENCRYPTED:
        raise MalformedError(f'its record {name} is encrypted')
    file.seek(entry.header_offset)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size:
        raise MalformedError(f'its record {name} is missing')
    magic, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    local_name = file.read(name_length)
    if magic != b'PK\x03\x04' or local_name != entry.orig_filename.encode():
        raise MalformedError(
            f'its record {name} is not where its directory says'
        )
    offset = file.tell() + extra_length
    if entry.compress_type == zipfile.ZIP_DEFLATED:
        return Record(offset, entry.file_size, entry.CRC, entry)
    if (
        entry.compress_type != zipfile.ZIP_STORED
        or entry.compress_size != entry.file_size
    ):
        raise MalformedError(
            f'its record {name} is packed by an unknown method'
        )
    return Record(offset, entry.file_size, entry.CRC)
