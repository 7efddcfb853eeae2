"""Checkpoints with a hand-written pickle, as no honest tool writes them."""

import io
import struct
import time
import zipfile

import pytest
import torch

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.read import read_checkpoint

FLOATS = ('torch', 'FloatStorage')
REBUILD = ('torch._utils', '_rebuild_tensor_v2')
FOUR_FLOATS = struct.pack('<4f', 1, 2, 3, 4)
ORDERED = ('collections', 'OrderedDict')


class Pickle:
    """A pickle under construction: each method adds instructions."""

    def __init__(self):
        self.code = b'\x80\x02'

    def raw(self, code):
        self.code += code
        return self

    def name(self, module, name):
        return self.raw(f'c{module}\n{name}\n'.encode())

    def put(self, *values):
        for value in values:
            self._put(value)
        return self

    def _put(self, value):
        if isinstance(value, Pickle):
            self.raw(value.code[2:])
        elif value is None or isinstance(value, bool):
            self.raw({None: b'N', True: b'\x88', False: b'\x89'}[value])
        elif isinstance(value, int):
            size = max(value.bit_length() // 8 + 1, 1)
            self.raw(
                b'\x8a'
                + bytes([size])
                + value.to_bytes(size, 'little', signed=True)
            )
        elif isinstance(value, str):
            text = value.encode()
            self.raw(b'X' + struct.pack('<I', len(text)) + text)
        elif isinstance(value, tuple):
            self.raw(b'(').put(*value).raw(b't')
        elif isinstance(value, list):
            self.raw(b'](').put(*value).raw(b'e')
        elif isinstance(value, dict):
            self.raw(b'}(')
            for key, entry in value.items():
                self.put(key, entry)
            self.raw(b'u')

    def call(self, function, *arguments):
        """Add the call of a function, given as module and name."""
        return self.name(*function).put(tuple(arguments)).raw(b'R')


def name(module, function):
    """Return a pickle that only names a function or class."""
    return Pickle().name(module, function)


def call(function, *arguments):
    """Return a pickle that calls a function."""
    return Pickle().call(function, *arguments)


def storage(numel, key='0', kind=FLOATS, location='cpu'):
    """Return a pickle that refers to a storage."""
    return (
        Pickle().put(('storage', name(*kind), key, location, numel)).raw(b'Q')
    )


def tensor(size, stride, offset=0, numel=4, function=REBUILD, **kwargs):
    """Return a pickle that describes a tensor."""
    return call(
        function,
        storage(numel, **kwargs),
        offset,
        size,
        stride,
        False,
        call(ORDERED),
    )


def write_zip(path, value, records=None, **kwargs):
    """Write an archive as torch.save does, of one value under 'x'.

    Args:
        path: The file.
        value: A pickle or plain value.
        records: Content by name; by default storage 0, of 4 floats.
        kwargs: For `zipfile.ZipFile`.
    """
    if records is None:
        records = {'data/0': struct.pack('<4f', 1, 2, 3, 4)}
    with zipfile.ZipFile(path, 'w', **kwargs) as archive:
        archive.writestr('a/data.pkl', Pickle().put({'x': value}).code + b'.')
        for record, content in records.items():
            archive.writestr(f'a/{record}', content)
    return path


def write_legacy(path, value, keys=('0',), storages=b''):
    """Write a file as PyTorch before 1.6 did, of one value under 'x'."""
    empty = io.BytesIO()
    torch.save({}, empty, _use_new_zipfile_serialization=False)
    head = empty.getvalue().split(b'.')[:3]
    content = b'.'.join(head) + b'.'
    for part in ({'x': value}, list(keys)):
        content += Pickle().put(part).code + b'.'
    path.write_bytes(content + storages)
    return path


def refusal(path, **kwargs):
    """Return the error of reading a file; it must come within seconds."""
    start = time.monotonic()
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path, **kwargs)
    assert time.monotonic() - start < 5
    assert path.name in str(error.value)
    return str(error.value)
