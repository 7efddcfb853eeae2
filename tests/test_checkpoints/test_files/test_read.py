"""Read checkpoints without executing code; explain what fails."""

import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile

import pytest
import torch

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.read import read_checkpoint

CONTENT = {'state_dict': {'w': torch.arange(4.0)}}


def save(path, content=CONTENT, **kwargs):
    torch.save(content, path, **kwargs)
    return path


@pytest.mark.parametrize('zipped', [True, False])
def test_reads(tmp_path, zipped):
    path = save(tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
    for source in (path, str(path), f'file://{path}'):
        weights = read_checkpoint(source)['state_dict']['w']
        assert torch.equal(weights, torch.arange(4.0))


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    save(tmp_path / 'a.pth')
    assert read_checkpoint('~/a.pth').keys() == CONTENT.keys()


def test_missing_file(tmp_path):
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(tmp_path / 'absent.pth')
    assert f'{tmp_path}/absent.pth does not exist' in str(error.value)
    assert 'https://' in str(error.value)


def test_folder(tmp_path):
    with pytest.raises(CheckpointError, match='is a folder, expected a'):
        read_checkpoint(tmp_path)
    save(tmp_path / 'epoch_1.pth')
    with pytest.raises(CheckpointError, match='it holds epoch_1.pth'):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('share', [0, 0.01, 0.5, 0.95])
def test_truncated_file(tmp_path, zipped, share):
    path = save(
        tmp_path / 'a.pth',
        {'w': torch.randn(1000)},
        _use_new_zipfile_serialization=zipped,
    )
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    size = path.stat().st_size
    assert f'a.pth ({size} bytes) cannot be read' in str(error.value)
    assert 'truncated' in str(error.value)


@pytest.mark.parametrize(
    'content',
    [
        os.urandom(1000),
        b'\x80\x02.',
        pickle.dumps({'a': 1}),
        b'PK\x03\x04',
        b'not a checkpoint',
    ],
)
def test_other_files(tmp_path, content):
    path = tmp_path / 'a.pth'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match='a.pth .* cannot be read'):
        read_checkpoint(path)


@pytest.mark.parametrize('zipped', [True, False])
def test_mapped_files(tmp_path, zipped):
    path = save(tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
    weights = read_checkpoint(path, mmap=True)['state_dict']['w']
    assert torch.equal(weights, torch.arange(4.0))
    weights += 1  # a private copy: the file stays as it is
    assert read_checkpoint(path)['state_dict']['w'][0] == 0


@pytest.fixture
def safetensors():
    return pytest.importorskip(
        'safetensors.torch', reason='safetensors is not installed'
    )


@pytest.mark.parametrize('mmap', [True, False])
@pytest.mark.parametrize('name', ['a.safetensors', 'a.pth', 'a'])
def test_safetensors_by_content(tmp_path, safetensors, name, mmap):
    path = tmp_path / name
    weights = {'w': torch.arange(6.0).view(2, 3), 'n': torch.tensor(3)}
    weights['half'] = weights['w'].bfloat16()
    safetensors.save_file(weights, path, metadata={'format': 'pt'})
    result = read_checkpoint(path, mmap=mmap)
    assert result['meta'] == {'format': 'pt'}
    assert result['state_dict'].keys() == weights.keys()
    for key, value in weights.items():
        assert result['state_dict'][key].dtype == value.dtype
        assert torch.equal(result['state_dict'][key], value)
    del result['state_dict']['w'], path
    (tmp_path / name).unlink()
    assert result['state_dict']['n'] == 3


def test_copies_do_not_depend_on_the_file(tmp_path, safetensors):
    for suffix in ('.safetensors', '.pth'):
        path = tmp_path / f'a{suffix}'
        weights = {'w': torch.ones(5000)}
        if suffix == '.pth':
            torch.save(weights, path)
        else:
            safetensors.save_file(weights, path)
        result = read_checkpoint(path, mmap=False)
        with open(path, 'r+b') as file:
            file.write(bytes(path.stat().st_size))
        result = result.get('state_dict', result)
        assert torch.equal(result['w'], torch.ones(5000))


def test_safetensors_named_by_a_torch_file(tmp_path):
    path = save(tmp_path / 'a.safetensors')
    assert read_checkpoint(path).keys() == CONTENT.keys()


def test_safetensors_without_metadata(tmp_path, safetensors):
    path = tmp_path / 'a.safetensors'
    safetensors.save_file({'w': torch.ones(1)}, path)
    assert read_checkpoint(path)['meta'] == {}


@pytest.mark.parametrize('meta', ['{"epoch": 3}', 'text', '[1]'])
def test_json_in_the_header(tmp_path, safetensors, meta):
    path = tmp_path / 'a.safetensors'
    safetensors.save_file({'w': torch.ones(1)}, path, metadata={'meta': meta})
    expected = {'epoch': 3} if 'epoch' in meta else {'meta': meta}
    assert read_checkpoint(path)['meta'] == expected


@pytest.mark.parametrize('share', [0, 0.01, 0.1, 0.5, 0.99])
def test_truncated_safetensors(tmp_path, safetensors, share):
    path = tmp_path / 'a.safetensors'
    safetensors.save_file({'w': torch.randn(1000)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointError, match='truncated') as error:
        read_checkpoint(path)
    assert f'({path.stat().st_size} bytes) cannot be' in str(error.value)


def test_safetensors_not_installed(tmp_path, monkeypatch):
    header = json.dumps({}).encode()
    path = tmp_path / 'a.pth'
    path.write_bytes(len(header).to_bytes(8, 'little') + header)
    monkeypatch.setitem(sys.modules, 'safetensors', None)
    with pytest.raises(ImportError, match='pip install safetensors'):
        read_checkpoint(path)


def test_reading_does_not_need_safetensors():
    code = (
        'import sys; import swin_dense.checkpoints.load; '
        'assert "safetensors" not in sys.modules'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


def test_content_that_is_no_dictionary(tmp_path):
    with pytest.raises(CheckpointError, match='holds a Tensor, no dict'):
        read_checkpoint(save(tmp_path / 'a.pth', torch.ones(2)))


class Payload:
    """An object that creates a file if a reader unpickles it."""

    def __init__(self, call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    'name, function',
    [
        ('posix.system', os.system),
        ('eval', eval),
        ('exec', exec),
        ('open', open),
        ('os.mkdir|posix.mkdir', os.mkdir),
    ],
)
@pytest.mark.parametrize('zipped', [True, False])
def test_code_is_refused_by_name(tmp_path, name, function, zipped):
    trace = tmp_path / 'trace'
    argument = {
        'posix.system': f'touch {trace}',
        'eval': f'open({str(trace)!r}, "w")',
        'exec': f'open({str(trace)!r}, "w")',
    }.get(name, str(trace))
    arguments = (argument, 'w') if function is open else (argument,)
    path = save(
        tmp_path / 'a.pth',
        {'state_dict': {}, 'x': Payload((function, arguments))},
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    text = str(error.value)
    assert 'a.pth is refused: besides weights it holds ' in text
    assert any(part in text for part in name.split('|'))
    assert 'None of it was executed' in text
    assert 'torch.save(model.state_dict(), FILE)' in text
    assert 'weights_only' not in text
    assert not trace.exists()


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('mmap', [True, False])
@pytest.mark.parametrize(
    'value',
    [
        torch.zeros(0),
        torch.zeros(2, 0, 3),
        torch.tensor(3.0),
        torch.arange(3, dtype=torch.uint8),
        torch.arange(3).to(torch.uint16),
        torch.ones(2, dtype=torch.bfloat16),
        torch.ones(2, dtype=torch.complex64),
        torch.tensor([True, False]),
        torch.arange(6.0).view(2, 3).T,
        torch.nn.Parameter(torch.ones(2)),
        torch.ones(2).to(torch.float8_e4m3fn),
    ],
)
def test_kinds_of_tensors(tmp_path, value, mmap, zipped):
    path = save(
        tmp_path / 'a.pth', {'w': value}, _use_new_zipfile_serialization=zipped
    )
    result = read_checkpoint(path, mmap=mmap)['w']
    assert type(result) is torch.Tensor and not result.requires_grad
    assert result.dtype == value.dtype and result.shape == value.shape
    assert result.stride() == value.stride()
    assert result.tolist() == value.tolist()


@pytest.mark.parametrize(
    'place',
    [
        'cpu',
        None,
        torch.device('cpu'),
        {'cpu': 'cpu'},
        lambda storage, location: storage if location == 'cpu' else None,
    ],
)
def test_map_location(tmp_path, place):
    path = save(tmp_path / 'a.pth')
    result = read_checkpoint(path, map_location=place)['state_dict']['w']
    assert result.device.type == 'cpu' and result.sum() == 6
    result = read_checkpoint(path, map_location='meta')['state_dict']['w']
    assert result.is_meta and result.shape == (4,)


@pytest.mark.skipif(torch.cuda.is_available(), reason='CUDA is there')
def test_device_that_is_not_here(tmp_path):
    path = save(tmp_path / 'a.pth')
    with pytest.raises(
        CheckpointError,
        match='a.pth: its tensors belong on cuda:0.*map_location="cpu"',
    ):
        read_checkpoint(path, map_location='cuda:0')


def test_the_other_byte_order(tmp_path):
    path = save(tmp_path / 'a.pth', {'w': torch.arange(4.0)})
    big = tmp_path / 'b.pth'
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(big, 'w') as copy:
        for name in archive.namelist():
            content = archive.read(name)
            if name.endswith('byteorder'):
                content = b'big'
            elif name.endswith('data/0'):
                content = struct.pack('>4f', 0, 1, 2, 3)
            copy.writestr(name, content)
    for mmap in (True, False):
        result = read_checkpoint(big, mmap=mmap)['w']
        assert result.tolist() == [0, 1, 2, 3]
