"""Archives of torch.save whose directory is damaged or malicious."""

import struct
import tracemalloc
import zipfile

import pytest

from helpers.pickled import (
    FOUR_FLOATS,
    Pickle,
    refusal,
    tensor,
    write_zip,
)
from swin_dense.checkpoints.files.read import read_checkpoint


def test_records_of_one_name(tmp_path):
    path = tmp_path / 'a.pth'
    with pytest.warns(UserWarning, match='Duplicate'):
        with zipfile.ZipFile(path, 'w') as archive:
            for content in (b'}.', b'].'):
                archive.writestr('a/data.pkl', b'\x80\x02' + content)
    assert 'several records of one name' in refusal(path)


def test_two_pickles(tmp_path):
    path = tmp_path / 'a.pth'
    with zipfile.ZipFile(path, 'w') as archive:
        for folder in 'ab':
            archive.writestr(f'{folder}/data.pkl', b'\x80\x02}.')
    assert 'holds 2 pickles' in refusal(path)


def test_records_that_overlap(tmp_path):
    path = write_zip(
        tmp_path / 'a.pth',
        tensor((4,), (1,)),
        records={'data/0': FOUR_FLOATS, 'data/1': FOUR_FLOATS},
    )
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        first, second = (
            archive.getinfo(f'a/data/{key}').header_offset for key in '01'
        )
    place = content.rindex(struct.pack('<I', second) + b'a/data/1')
    path.write_bytes(
        content[:place] + struct.pack('<I', first) + content[place + 4 :]
    )
    assert 'overlap' in refusal(path)


@pytest.mark.parametrize('method', [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_compressed_records(tmp_path, method):
    path = write_zip(
        tmp_path / 'a.pth', tensor((4,), (1,)), compression=method
    )
    if method == zipfile.ZIP_DEFLATED:
        for mmap in (False, True):
            result = read_checkpoint(path, mmap=mmap)
            assert result['x'].tolist() == [1, 2, 3, 4]
    else:
        assert 'unknown method' in refusal(path)


def bomb(path, size):
    """Write an archive whose storage is `size` zeros, compressed."""
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        value = tensor((size // 4,), (1,), numel=size // 4)
        archive.writestr('a/data.pkl', Pickle().put({'x': value}).code + b'.')
        with archive.open('a/data/0', 'w') as record:
            for _ in range(size >> 22):
                record.write(bytes(1 << 22))
    return path


def test_a_small_file_that_unpacks_to_much(tmp_path, monkeypatch):
    path = bomb(tmp_path / 'a.pth', 300 << 20)
    assert path.stat().st_size < 1 << 19
    tracemalloc.start()
    text = refusal(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()
    assert 'unpacks to 0.29 GB, and a file of its size may take 0.25' in text
    assert 'SWIN_DENSE_MAX_UNPACKED_GB' in text
    path = bomb(tmp_path / 'b.pth', 4 << 20)
    monkeypatch.setenv('SWIN_DENSE_MAX_UNPACKED_GB', '.003')
    assert 'may take 0.00 GB' in refusal(path)
    monkeypatch.setenv('SWIN_DENSE_MAX_UNPACKED_GB', '1')
    assert read_checkpoint(path)['x'].shape == (1 << 20,)
    monkeypatch.setenv('SWIN_DENSE_MAX_UNPACKED_GB', 'much')
    assert "must be a positive number, got 'much'" in str(
        pytest.raises(ValueError, read_checkpoint, path).value
    )
