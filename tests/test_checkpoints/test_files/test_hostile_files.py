"""Malicious files are refused, with their name and the reason."""

import io
import json
import struct
import tarfile
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch

from helpers.pickled import (
    ORDERED,
    REBUILD,
    Pickle,
    call,
    name,
    storage,
    tensor,
    write_legacy,
    write_zip,
)
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.read import read_checkpoint

FLOATS = struct.pack('<4f', 1, 2, 3, 4)


def refusal(path, **kwargs):
    """Return the error of reading a file; it must come within seconds."""
    start = time.monotonic()
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path, **kwargs)
    assert time.monotonic() - start < 5
    assert path.name in str(error.value)
    return str(error.value)


def test_hand_made_files_are_read_right(tmp_path):
    value = tensor((2, 2), (2, 1))
    for path in (
        write_zip(tmp_path / 'a.pth', value),
        write_legacy(
            tmp_path / 'b.pth', value, storages=struct.pack('<q', 4) + FLOATS
        ),
    ):
        for mmap in (False, True):
            found = read_checkpoint(path, mmap=mmap)['x']
            assert found.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    'value, reason',
    [
        (tensor((5,), (1,)), 'reaches outside of its 4 stored elements'),
        (tensor((4,), (1,), offset=1), 'reaches outside'),
        (tensor((2, 2), (3, 1)), 'reaches outside'),
        (tensor((2,), (1 << 62,)), 'reaches outside'),
        (tensor((0,), (1,), offset=5), 'reaches outside'),
        (tensor((-1,), (1,)), 'impossible shape'),
        (tensor((2,), (-1,)), 'impossible shape'),
        (tensor((1,), (1,), offset=-1), 'impossible shape'),
        (tensor((1 << 70,), (0,)), 'impossible shape'),
        (tensor((True,), (1,)), 'impossible shape'),
        (tensor((1,) * 65, (1,) * 65), 'impossible shape'),
        (tensor((2, 2), (1,)), 'another number of strides'),
        (tensor([4], (1,)), 'impossible shape'),
        (tensor((10**12,), (0,)), 'SWIN_DENSE_MAX_UNPACKED_GB'),
        (tensor((10**6, 10**6), (0, 0)), 'SWIN_DENSE_MAX_UNPACKED_GB'),
        (tensor((4,), (1,), numel=8), 'has 16 bytes, and 8 numbers'),
        (tensor((4,), (1,), numel=-4), 'impossible shape'),
        (tensor((4,), (1,), numel=1 << 80), 'impossible shape'),
        (tensor((4,), (1,), numel=2), 'reaches outside'),
        (tensor((4,), (1,), key='1'), 'lacks its storage 1'),
        (tensor((4,), (1,), key='../data.pkl'), 'lacks its storage'),
        (tensor((4,), (1,), kind=('torch', 'Tensor')), 'torch.Tensor'),
        (
            tensor((1,), (1,), numel=2, kind=('torch', 'BoolStorage')),
            'numbers',
        ),
        (
            tensor((4,), (1,), numel=16, kind=('torch', 'BoolStorage')),
            'truth values',
        ),
        (call(REBUILD, storage(4)), 'other arguments'),
        (call(REBUILD, 'x', 0, (1,), (1,), False, None), 'without a storage'),
        (
            call(
                REBUILD, storage(4), 0, (4,), (1,), False, None, {'conj': True}
            ),
            'conjugated',
        ),
        (storage(4), 'a storage where a value is expected'),
        (name('torch', 'FloatStorage'), 'FloatStorage where a value'),
        (call(('torch', 'FloatStorage'), 10**12), 'calls torch.FloatStorage'),
        (call(('torch.storage', 'UntypedStorage'), 10**12), 'UntypedStorage'),
        (call(('__builtin__', 'bytearray'), 10**12), 'bytearray'),
        (call(('__builtin__', 'bytes'), 10**12), 'bytes'),
        (call(('_codecs', 'encode'), 'x', 'rot13'), 'another encoding'),
        (call(('torch', 'Size'), (-1,)), 'impossible shape'),
        (call(('torch', 'device'), 'nonsense'), 'read'),
        (call(('__builtin__', 'set'), [(1,)]), 'a set of something else'),
        (
            Pickle().put({}).raw(b'N(\x8a\x01\x01tb'),
            'its instructions do not|sets',
        ),
        (Pickle().put([]).raw(b'}b'), 'sets the state'),
        (call(ORDERED).raw(b'}}b0'), 'sets|instruction'),
        (call(ORDERED).put({}).raw(b'b').put({}).raw(b'b'), 'is set already'),
        (
            Pickle().put('f', ()).raw(b'R'),
            'calls something that is not a function',
        ),
        (
            Pickle().put((), 1).raw(b'a'),
            'appends to something that is not a list',
        ),
        (Pickle().put((), 1, 1).raw(b's'), 'not a dictionary'),
        (Pickle().put({}, (1,), 1).raw(b's'), 'tuple as key'),
        (Pickle().put({}, 1 << 64, 1).raw(b's'), 'int as key'),
        (Pickle().raw(b'h\x07'), 'do not fit'),
        (Pickle().raw(b'aaaa'), 'do not fit'),
        (Pickle().raw(b'I12\n'), 'instruction INT'),
        (
            Pickle().raw(b'\x8b\x10\x00\x00\x00' + bytes(16)),
            'instruction LONG4',
        ),
        (Pickle().raw(b'\x96' + b'\xff' * 7 + b'\x00'), 'read'),
        (Pickle().raw(b'\x97'), 'instruction'),
    ],
)
@pytest.mark.parametrize('write', [write_zip, write_legacy])
def test_malformed_content(tmp_path, value, reason, write):
    kwargs = {}
    if write is write_legacy:
        kwargs['storages'] = struct.pack('<q', 4) + FLOATS
    path = write(tmp_path / 'a.pth', value, **kwargs)
    for mmap in (False, True):
        text = refusal(path, mmap=mmap)
    if write is write_zip:
        assert any(part in text for part in reason.split('|')), text


def test_names_of_python_modules_are_not_imported(tmp_path):
    for module in ('antigravity', 'os.path', 'torch.nn', 'swin_dense.files'):
        text = refusal(write_zip(tmp_path / 'a.pth', name(module, 'x')))
        assert f'besides weights it holds {module}.x, ' in text


@pytest.mark.parametrize(
    'make, kind',
    [
        (lambda: torch.eye(3).to_sparse(), 'sparse tensors'),
        (
            lambda: torch.quantize_per_tensor(
                torch.ones(3), 0.1, 0, torch.qint8
            ),
            'quantized tensors',
        ),
        (lambda: torch.ones(3, device='meta'), 'tensors without content'),
        (
            lambda: torch.nested.nested_tensor([torch.ones(2)]),
            'nested tensors',
        ),
    ],
)
@pytest.mark.parametrize('zipped', [True, False])
def test_tensors_that_are_not_dense(tmp_path, make, kind, zipped):
    path = tmp_path / 'a.pth'
    torch.save({'x': make()}, path, _use_new_zipfile_serialization=zipped)
    assert kind in refusal(path)


def test_shared_storages_and_views(tmp_path):
    base = torch.arange(6.0)
    torch.save(
        dict(
            whole=base,
            part=base[2:4],
            turned=base.view(2, 3).T,
            wide=base[:1].expand(4),
        ),
        tmp_path / 'a.pth',
    )
    found = read_checkpoint(tmp_path / 'a.pth')
    assert found['part'].tolist() == [2, 3]
    assert found['turned'].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert found['wide'].tolist() == [0] * 4
    found['whole'][2] = 9
    assert found['part'][0] == 9 and found['turned'][2, 0] == 9


@pytest.mark.parametrize('mmap', [False, True])
def test_a_flipped_bit_is_noticed(tmp_path, mmap):
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict=dict(w=torch.ones(2000))), path)
    content = bytearray(path.read_bytes())
    place = content.index(struct.pack('<f', 1) * 9) + 400
    content[place] ^= 1
    path.write_bytes(content)
    text = refusal(path, mmap=mmap)
    assert 'data/0' in text or 'its record 0 ' in text
    assert 'checksum' in text
    # Entries that are left out are not read.
    assert read_checkpoint(path, mmap=mmap, without=['state_dict']) == {}
    assert read_checkpoint(path, mmap=True, check=False)


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
        records={'data/0': FLOATS, 'data/1': FLOATS},
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
            found = read_checkpoint(path, mmap=mmap)
            assert found['x'].tolist() == [1, 2, 3, 4]
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


def test_array_that_says_another_size(tmp_path):
    for shape in ((10**12,), (10**6, 10**6), (4,), (-3,)):
        _, arguments, state = np.arange(3.0).__reduce__()
        number_type = call(('numpy', 'dtype'), 'f8', False, True)
        content = call(('_codecs', 'encode'), '0' * 24, 'latin1')
        array = call(
            ('numpy.core.multiarray', '_reconstruct'),
            name('numpy', 'ndarray'),
            (0,),
            'b',
        )
        array.put((1, shape, number_type, False, content)).raw(b'b')
        path = write_zip(tmp_path / 'a.pth', array)
        text = refusal(path)
        assert 'does not fit its content' in text or 'impossible' in text


def test_state_of_an_array_is_set_once(tmp_path):
    number_type = call(('numpy', 'dtype'), 'f8', False, True)
    array = call(
        ('numpy.core.multiarray', '_reconstruct'),
        name('numpy', 'ndarray'),
        (0,),
        'b',
    )
    for size in (3, 300):
        content = call(('_codecs', 'encode'), '0' * 8 * size, 'latin1')
        array.put((1, (size,), number_type, False, content)).raw(b'b')
    assert 'is set already' in refusal(write_zip(tmp_path / 'a.pth', array))


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def test_deep_nesting(tmp_path):
    for code in (b']' * 50000 + b'a' * 49999, b')' + b'\x85' * 50000):
        path = write_zip(tmp_path / 'a.pth', Pickle().raw(code))
        assert 'nested deeper than 100' in refusal(path)
    path = write_zip(tmp_path / 'a.pth', Pickle().raw(b']q\x00h\x00a'))
    assert 'nested deeper than 100' in refusal(path)


def test_entries_that_multiply(tmp_path, monkeypatch):
    # Each tuple holds the previous tuple twice: 2**60 values in all.
    doubled = Pickle().raw(b']' + b'q\x00h\x00\x86' * 60)
    monkeypatch.setenv('SWIN_DENSE_MAX_CHECKPOINT_ENTRIES', '20000')
    text = refusal(write_zip(tmp_path / 'a.pth', doubled))
    assert 'SWIN_DENSE_MAX_CHECKPOINT_ENTRIES' in text
    # Strings are copied when they are encoded.
    once = (
        Pickle()
        .name('_codecs', 'encode')
        .raw(b'h\x01')
        .put('latin1')
        .raw(b'\x86R')
    )
    many = Pickle().put('x' * 4000000).raw(b'q\x01')
    many = Pickle().put([many] + [once] * 100)
    text = refusal(write_zip(tmp_path / 'a.pth', many))
    assert 'more memory than a file of its size may take' in text


def test_numbers_of_any_length(tmp_path):
    path = write_zip(tmp_path / 'a.pth', 1 << 2000)
    assert read_checkpoint(path)['x'] == 1 << 2000


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
    path.write_bytes(header(entries, FLOATS))
    assert 'cannot be read as a checkpoint' in refusal(path)


def test_metadata_of_safetensors_nested_deeply(tmp_path):
    safetensors = pytest.importorskip(
        'safetensors.torch', reason='safetensors is not installed'
    )
    path = tmp_path / 'a.safetensors'
    text = '{"a":' + '[' * 100000 + ']' * 100000 + '}'
    safetensors.save_file({'w': torch.ones(1)}, path, metadata=dict(meta=text))
    assert read_checkpoint(path)['meta'] == dict(meta=text)
