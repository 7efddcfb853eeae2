"""Checkpoints are written atomically, with metadata and without waste."""

import sys
from collections import OrderedDict

import pytest
import torch

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.metadata import metadata_of
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.checkpoints.files.write import write_checkpoint

ORIGIN = {'source': 'a.pth', 'window': [7, 7], 'version': '1.0'}


def contents():
    qkv = torch.randn(30, 10)
    shared = torch.randn(3)
    return {
        'q': qkv[:10],
        'transposed': qkv.T,
        'one': shared,
        'two': shared,
        'half': torch.randn(2).half(),
        'count': torch.tensor(7),
    }


@pytest.fixture(params=['.pth', '.bin', '.safetensors'])
def path(request, tmp_path):
    if request.param == '.safetensors':
        pytest.importorskip('safetensors', reason='safetensors is absent')
    return tmp_path / f'a{request.param}'


@pytest.mark.parametrize('wrapper', ['state_dict', 'model', None])
def test_there_and_back(path, wrapper):
    weights = contents()
    write_checkpoint(path, {wrapper: weights} if wrapper else weights, ORIGIN)
    result = read_checkpoint(path)
    assert metadata_of(result) == ORIGIN
    key = 'state_dict' if path.suffix == '.safetensors' else wrapper
    state_dict = result[key] if key else result
    assert list(state_dict) and state_dict.keys() == weights.keys()
    for name, value in weights.items():
        assert state_dict[name].dtype == value.dtype
        assert torch.equal(state_dict[name], value)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_meta_is_kept(path):
    meta = dict(
        epoch=3, dataset_meta=dict(classes=('a', 'b')), buffer=torch.ones(2)
    )  # nothing that JSON can hold
    write_checkpoint(path, dict(meta=meta, state_dict=contents()), ORIGIN)
    result = read_checkpoint(path)['meta']
    assert result['epoch'] == 3
    assert list(result['dataset_meta']['classes']) == ['a', 'b']
    assert result['swin_dense'] == ORIGIN


def test_slices_are_not_stored_whole(path):
    large = torch.randn(1000, 1000)
    write_checkpoint(path, {'a': large[:10], 'b': large[5:15]}, ORIGIN)
    assert path.stat().st_size < 100_000


def test_bare_state_dict_stays_bare(tmp_path):
    model = torch.nn.BatchNorm1d(2)
    path = tmp_path / 'a.pth'
    write_checkpoint(path, model.state_dict(), ORIGIN)
    result = read_checkpoint(path)
    assert isinstance(result, OrderedDict)
    assert result._metadata == model.state_dict()._metadata
    assert metadata_of(result) == ORIGIN
    model.load_state_dict(result)  # strict: no further entry


def test_existing_file(path):
    path.write_bytes(b'precious')
    with pytest.raises(CheckpointError, match=f'{path} exists: .* --force'):
        write_checkpoint(path, contents(), ORIGIN)
    assert path.read_bytes() == b'precious'
    write_checkpoint(path, contents(), ORIGIN, force=True)
    assert metadata_of(read_checkpoint(path)) == ORIGIN


def test_failure_leaves_the_old_file(path, monkeypatch):
    path.write_bytes(b'precious')

    def fail(*args, **kwargs):
        raise OSError('no space left on device')

    monkeypatch.setattr(torch, 'save', fail)
    if path.suffix == '.safetensors':
        monkeypatch.setattr('safetensors.torch.save_file', fail)
    with pytest.raises(OSError, match='no space'):
        write_checkpoint(path, contents(), ORIGIN, force=True)
    assert path.read_bytes() == b'precious'
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    'name, message',
    [
        ('.', 'is a folder'),
        ('absent/a.pth', 'there is no folder .*absent'),
        ('a.onnx', 'end the name in .safetensors, or in .pth'),
        ('a', 'the suffix decides'),
    ],
)
def test_destinations(tmp_path, name, message):
    with pytest.raises(CheckpointError, match=message):
        write_checkpoint(tmp_path / name, contents(), ORIGIN)
    assert not list(tmp_path.iterdir())


def test_safetensors_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'safetensors.torch', None)
    with pytest.raises(ImportError, match='pip install safetensors; or give'):
        write_checkpoint(tmp_path / 'a.safetensors', contents(), ORIGIN)
    assert not list(tmp_path.iterdir())
