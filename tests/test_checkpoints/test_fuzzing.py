"""Mutated checkpoints are read correctly, or refused within a second.

More of them, by hand:

    FUZZ_COUNT=20000 FUZZ_SEED=1 python -m pytest THIS_FILE
"""

import os
import random
import struct
import time
import zipfile

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.read import read_checkpoint

COUNT = int(os.environ.get('FUZZ_COUNT', 100))
# Seconds of one file: far above what any takes, far below an endless loop.
LIMIT = 20
SEED = int(os.environ.get('FUZZ_SEED', 7))
KINDS = ['zip', 'legacy', 'safetensors']


def contents():
    """Return a small checkpoint with each kind of value."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 4, generator=generator)
    return dict(
        meta=dict(epoch=1, iter=2, classes=['a', 'b'], config=ConfigDict(x=1)),
        state_dict={
            'w': weight,
            'view': weight.T[1:],
            'half': weight.half(),
            'n': torch.tensor(7),
            'flag': torch.tensor([True, False]),
        },
        optimizer=dict(state={0: dict(step=torch.tensor(1.0))}),
        message_hub=dict(
            log_scalars={'loss': HistoryBuffer([1.0, 2.0], [1, 1])},
            runtime_info=dict(best=np.float64(0.5), size=torch.Size([2])),
        ),
    )


def write(path, kind):
    """Write that checkpoint in one of three formats."""
    if kind == 'safetensors':
        safetensors = pytest.importorskip(
            'safetensors.torch', reason='safetensors is not installed'
        )
        weights = {
            k: v.contiguous() for k, v in contents()['state_dict'].items()
        }
        safetensors.save_file(weights, path, metadata=dict(meta='{"a": 1}'))
    else:
        torch.save(
            contents(), path, _use_new_zipfile_serialization=kind == 'zip'
        )


def mutate(content, generator):
    """Change some bytes, or cut, repeat or exchange stretches of them."""
    content = bytearray(content)
    for _ in range(generator.choice((1, 1, 2, 5))):
        at, other = sorted(generator.choices(range(len(content)), k=2))
        size = generator.randint(1, 40)
        way = generator.randrange(6)
        if way == 0:
            content[at] ^= 1 << generator.randrange(8)
        elif way == 1:
            content[at] = generator.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif way == 2:
            del content[at : at + size]
        elif way == 3:
            content[at:at] = content[other : other + size]
        elif way == 4:
            content[at : at + size] = generator.randbytes(size)
        else:
            number = generator.choice((0, -1, 1 << 31, 1 << 40, 1 << 62))
            content[at : at + 8] = struct.pack('<q', number)
    return bytes(content)


def mutate_pickle(content, path, generator):
    """Mutate the pickle in an archive, and correct its checksum."""
    with zipfile.ZipFile(path) as archive:
        records = {n: archive.read(n) for n in archive.namelist()}
    name = next(n for n in records if n.endswith('data.pkl'))
    records[name] = mutate(records[name], generator)
    with zipfile.ZipFile(path, 'w') as archive:
        for record, text in records.items():
            archive.writestr(record, text)


def values(node, path=()):
    """Return all tensors, arrays and plain values by their path."""
    if isinstance(node, HistoryBuffer):
        node = dict(zip('ab', node.data))
    if isinstance(node, dict):
        for key, inner in node.items():
            yield from values(inner, (*path, key))
    elif isinstance(node, (list, tuple)):
        for key, inner in enumerate(node):
            yield from values(inner, (*path, key))
    else:
        yield path, node


def use(checkpoint):
    """Read every number of a checkpoint, which crashes out of bounds."""
    for _, value in values(checkpoint):
        if torch.is_tensor(value):
            assert value.numel() * value.element_size() < 1 << 20
            float(value.double().sum())
        elif isinstance(value, np.ndarray):
            assert value.dtype != object
            value.tobytes()
        else:
            assert len(repr(value)) < 1 << 20


@pytest.mark.parametrize('mmap', [False, True])
@pytest.mark.parametrize('kind', [*KINDS, 'pickle'])
def test_mutated_checkpoints(tmp_path, kind, mmap):
    whole = tmp_path / 'whole.pth'
    write(whole, 'zip' if kind == 'pickle' else kind)
    content = whole.read_bytes()
    generator = random.Random(SEED)
    outcomes = {'read': 0, 'refused': 0}
    for number in range(COUNT):
        path = tmp_path / f'{number}.pth'
        if kind == 'pickle':
            path.write_bytes(content)
            mutate_pickle(content, path, generator)
        else:
            path.write_bytes(mutate(content, generator))
        start = time.process_time()
        try:
            result = read_checkpoint(path, mmap=mmap)
        except CheckpointError as error:
            outcomes['refused'] += 1
            assert path.name in str(error)
        else:
            outcomes['read'] += 1
            use(result)
        assert time.process_time() - start < LIMIT
        path.unlink()
    assert outcomes['refused'] > COUNT // 4


@pytest.mark.parametrize('kind', KINDS)
def test_the_checkpoint_itself_is_read_right(tmp_path, kind):
    write(tmp_path / 'a.pth', kind)
    result = read_checkpoint(tmp_path / 'a.pth')
    use(result)
    assert torch.equal(
        result['state_dict']['view'], contents()['state_dict']['view']
    )


@pytest.mark.parametrize('mmap', [False, True])
def test_no_changed_number_passes_in_an_archive(tmp_path, mmap):
    """The checksum reveals each flipped bit of a tensor."""
    write(tmp_path / 'a.pth', 'zip')
    content = (tmp_path / 'a.pth').read_bytes()
    weight = contents()['state_dict']['w'].numpy().tobytes()
    start = content.index(weight)
    for number in range(len(weight)):
        changed = bytearray(content)
        changed[start + number] ^= 1 << number % 8
        path = tmp_path / f'{number}.pth'
        path.write_bytes(changed)
        with pytest.raises(CheckpointError, match='checksum'):
            read_checkpoint(path, mmap=mmap)
