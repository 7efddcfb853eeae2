"""Reading files: friendly errors, downloads, nothing executed."""
import hashlib
import os
import pickle
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from swin_dense.checkpoints.load import CheckpointError, read_checkpoint

CONTENT = {'state_dict': {'w': torch.arange(4.)}}


def save(path, content=CONTENT, **kwargs):
    torch.save(content, path, **kwargs)
    return path


@pytest.mark.parametrize('zipped', [True, False])
def test_reads(tmp_path, zipped):
    path = save(tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
    for source in (path, str(path), f'file://{path}'):
        weights = read_checkpoint(source)['state_dict']['w']
        assert torch.equal(weights, torch.arange(4.))


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
@pytest.mark.parametrize('share', [0, .01, .5, .95])
def test_truncated_file(tmp_path, zipped, share):
    path = save(
        tmp_path / 'a.pth', {'w': torch.randn(1000)},
        _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    path.write_bytes(whole[:int(len(whole) * share)])
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    size = path.stat().st_size
    assert f'a.pth ({size} bytes) cannot be read' in str(error.value)
    assert 'truncated' in str(error.value)


@pytest.mark.parametrize('content', [
    b'<!DOCTYPE html><html>Not Found</html>',
    b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n',
    os.urandom(1000), b'\x80\x02.',
    pickle.dumps({'a': 1})
])
def test_other_files(tmp_path, content):
    path = tmp_path / 'a.pth'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match='a.pth'):
        read_checkpoint(path)


def test_content_that_is_no_dictionary(tmp_path):
    with pytest.raises(CheckpointError, match='holds a Tensor, no dict'):
        read_checkpoint(save(tmp_path / 'a.pth', torch.ones(2)))


class Payload:
    """Creates a file when it is unpickled by the general reader."""

    def __init__(self, call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('name, function', [
    ('posix.system', os.system),
    ('eval', eval),
    ('exec', exec),
    ('open', open),
    ('os.mkdir|posix.mkdir', os.mkdir),
])
@pytest.mark.parametrize('zipped', [True, False])
def test_code_is_refused_by_name(tmp_path, name, function, zipped):
    trace = tmp_path / 'trace'
    argument = {
        'posix.system': f'touch {trace}',
        'eval': f'open({str(trace)!r}, "w")',
        'exec': f'open({str(trace)!r}, "w")',
    }.get(name, str(trace))
    arguments = (argument, 'w') if function is open else (argument, )
    path = save(
        tmp_path / 'a.pth', {
            'state_dict': {},
            'x': Payload((function, arguments))
        },
        _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    text = str(error.value)
    assert 'a.pth is refused: besides weights it holds ' in text
    assert any(part in text for part in name.split('|'))
    assert 'Nothing of it was executed' in text
    assert 'torch.save(model.state_dict(), FILE)' in text
    assert 'weights_only' not in text
    assert not trace.exists()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files; of those named `cut` only the first half."""

    requests = []

    def log_message(self, *args):
        self.requests.append(self.path)

    def copyfile(self, source, outputfile):
        content = source.read()
        if 'cut' in self.path:
            content = content[:len(content) // 2]
        outputfile.write(content)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of the folder `served`, and a hub folder of its own."""
    monkeypatch.setattr(Quiet, 'requests', [])
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'hub'))
    served = tmp_path / 'served'
    served.mkdir()
    http = ThreadingHTTPServer(('127.0.0.1', 0),
                               partial(Quiet, directory=str(served)))
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield served, f'http://127.0.0.1:{http.server_port}'
    http.shutdown()
    http.server_close()


def cached(tmp_path):
    return sorted(p.name for p in (tmp_path / 'hub').rglob('*') if p.is_file())


def test_download_once(server, tmp_path):
    served, address = server
    save(served / 'a.pth')
    for _ in range(2):
        assert read_checkpoint(f'{address}/a.pth').keys() == CONTENT.keys()
    assert Quiet.requests == ['/a.pth']
    assert cached(tmp_path) == ['a.pth']


def test_hash_in_the_name_is_checked(server, tmp_path):
    served, address = server
    digest = hashlib.sha256(save(served / 'a.pth').read_bytes()).hexdigest()
    good, bad = f'a-{digest[:8]}.pth', 'a_20220101-deadbeef.pth'
    for name in (good, bad):
        (served / name).write_bytes((served / 'a.pth').read_bytes())
    assert read_checkpoint(f'{address}/{good}').keys() == CONTENT.keys()
    with pytest.raises(CheckpointError, match='deadbeef'):
        read_checkpoint(f'{address}/{bad}')
    assert cached(tmp_path) == [good]


def test_broken_download_is_not_used(server, tmp_path):
    served, address = server
    save(served / 'cut.pth', {'w': torch.randn(10000)})
    with pytest.raises(CheckpointError, match='cannot download .*cut.pth'):
        read_checkpoint(f'{address}/cut.pth')
    assert cached(tmp_path) == []


def test_address_that_does_not_exist(server, tmp_path):
    _, address = server
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(f'{address}/absent.pth')
    assert f'cannot download {address}/absent.pth' in str(error.value)
    assert '404' in str(error.value)
    assert str(tmp_path / 'hub' / 'checkpoints' / 'absent.pth') in str(
        error.value)
    with pytest.raises(CheckpointError, match='download the file'):
        read_checkpoint('s3://bucket/a.pth')
