"""Malicious files are refused, with their name and the reason."""

import io
import json
import struct
import tarfile

import pytest
import torch

from helpers.pickled import (
    FOUR_FLOATS,
    refusal,
    tensor,
    write_legacy,
    write_zip,
)
from swin_dense.checkpoints.files.read import read_checkpoint


def test_hand_made_files_are_read_right(tmp_path):
    value = tensor((2, 2), (2, 1))
    for path in (
        write_zip(tmp_path / 'a.pth', value),
        write_legacy(
            tmp_path / 'b.pth',
            value,
            storages=struct.pack('<q', 4) + FOUR_FLOATS,
        ),
    ):
        for mmap in (False, True):
            result = read_checkpoint(path, mmap=mmap)['x']
            assert result.tolist() == [[1, 2], [3, 4]]


def test_tar_archives(tmp_path):
    path = tmp_path / 'a.pth'
    with tarfile.open(path, 'w') as archive:
        for part in ('storages', 'tensors', 'pickle'):
            info = tarfile.TarInfo(part)
            info.size = 4
            archive.addfile(info, io.BytesIO(b'1234'))
    assert 'is a tar archive' in refusal(path)


def header(entries, content=b''):
    text = (
        entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    )
    return struct.pack('<Q', len(text)) + text + content


@pytest.mark.parametrize(
    'entries',
    [
        {'w': dict(dtype='F32', shape=[4], data_offsets=[0, 15])},
        {'w': dict(dtype='F32', shape=[10**12], data_offsets=[0, 16])},
        {'w': dict(dtype='F32', shape=[-4], data_offsets=[0, 16])},
        {'w': dict(dtype='F32', shape=[2**32, 2**32], data_offsets=[0, 16])},
        {'w': dict(dtype='F32', shape=[4], data_offsets=[16, 0])},
        {'w': dict(dtype='F32', shape=[4], data_offsets=[0, 1 << 62])},
        {'w': dict(dtype='X9', shape=[4], data_offsets=[0, 16])},
        {
            'w': dict(dtype='F32', shape=[4], data_offsets=[0, 16]),
            'v': dict(dtype='F32', shape=[4], data_offsets=[0, 16]),
        },
        {'w': dict(dtype='F32', shape=[2], data_offsets=[0, 8])},
        {'w': 1},
        b'{"w":' + b'[' * 100000,
        b'{"w": {"dtype": "F32"}, "w": {}}',
        b'{' * 1000,
    ],
)
def test_safetensors_with_a_wrong_header(tmp_path, entries):
    pytest.importorskip('safetensors', reason='safetensors is not installed')
    path = tmp_path / 'a.safetensors'
    path.write_bytes(header(entries, FOUR_FLOATS))
    assert 'cannot be read as a checkpoint' in refusal(path)


def test_metadata_of_safetensors_nested_deeply(tmp_path):
    safetensors = pytest.importorskip(
        'safetensors.torch', reason='safetensors is not installed'
    )
    path = tmp_path / 'a.safetensors'
    text = '{"a":' + '[' * 100000 + ']' * 100000 + '}'
    safetensors.save_file({'w': torch.ones(1)}, path, metadata=dict(meta=text))
    assert read_checkpoint(path)['meta'] == dict(meta=text)
