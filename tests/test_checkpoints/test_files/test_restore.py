"""Records of a pickle become tensors, arrays and numbers, or are refused."""

import struct

import numpy as np
import pytest
import torch

from helpers.pickled import (
    FOUR_FLOATS,
    ORDERED,
    REBUILD,
    Pickle,
    call,
    name,
    refusal,
    storage,
    tensor,
    write_legacy,
    write_zip,
)
from swin_dense.checkpoints.files.read import read_checkpoint


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
        kwargs['storages'] = struct.pack('<q', 4) + FOUR_FLOATS
    path = write(tmp_path / 'a.pth', value, **kwargs)
    for mmap in (False, True):
        text = refusal(path, mmap=mmap)
    if write is write_zip:
        assert any(part in text for part in reason.split('|')), text


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
    result = read_checkpoint(tmp_path / 'a.pth')
    assert result['part'].tolist() == [2, 3]
    assert result['turned'].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert result['wide'].tolist() == [0] * 4
    result['whole'][2] = 9
    assert result['part'][0] == 9 and result['turned'][2, 0] == 9


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
