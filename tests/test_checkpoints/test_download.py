"""Downloads: kept, checked, never partial, safe side by side."""
import hashlib
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from swin_dense.checkpoints.download import cached_path
from swin_dense.checkpoints.load import CheckpointError, read_checkpoint

CONTENT = {'state_dict': {'w': torch.arange(4.)}}


def save(path, content=CONTENT):
    torch.save(content, path)
    return path


class Quiet(SimpleHTTPRequestHandler):
    """Serves files: if named `cut` half of it, if named `slow` slowly."""

    requests = []

    def log_message(self, *args):
        self.requests.append(self.path)

    def copyfile(self, source, outputfile):
        content = source.read()
        if 'cut' in self.path:
            content = content[:len(content) // 2]
        for start in range(0, len(content), 4096):
            outputfile.write(content[start:start + 4096])
            if 'slow' in self.path:
                time.sleep(.02)


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


def with_hash(path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f'{path.stem}-{digest[:8]}.pth'


def test_download_once(server, tmp_path):
    served, address = server
    save(served / 'a.pth')
    for _ in range(2):
        assert read_checkpoint(f'{address}/a.pth').keys() == CONTENT.keys()
    assert Quiet.requests == ['/a.pth']
    assert cached(tmp_path) == ['a.pth']


def test_hash_in_the_name_is_checked(server, tmp_path):
    served, address = server
    good, bad = with_hash(save(served / 'a.pth')), 'a_20220101-deadbeef.pth'
    for name in (good, bad):
        (served / name).write_bytes((served / 'a.pth').read_bytes())
    assert read_checkpoint(f'{address}/{good}').keys() == CONTENT.keys()
    with pytest.raises(CheckpointError, match='deadbeef'):
        read_checkpoint(f'{address}/{bad}')
    assert cached(tmp_path) == [good]


def test_damaged_file_with_a_hash_is_fetched_anew(server, tmp_path):
    served, address = server
    save(served / 'a.pth')
    name = with_hash(served / 'a.pth')
    content = (served / 'a.pth').read_bytes()
    (served / name).write_bytes(content)
    # As another program may have left it.
    damaged = tmp_path / 'hub' / 'checkpoints' / name
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(content[:100])
    for _ in range(2):
        assert read_checkpoint(f'{address}/{name}').keys() == CONTENT.keys()
    assert Quiet.requests == [f'/{name}']
    assert damaged.read_bytes() == content


def test_broken_download_is_not_used(server, tmp_path):
    served, address = server
    save(served / 'cut.pth', {'w': torch.randn(10000)})
    with pytest.raises(CheckpointError, match='cannot download .*cut.pth'):
        read_checkpoint(f'{address}/cut.pth')
    assert cached(tmp_path) == []


def test_web_page_is_not_kept(server, tmp_path):
    served, address = server
    (served / 'a-01234567.pth').write_text('<!DOCTYPE html><html>Log in')
    with pytest.raises(CheckpointError, match='what comes is a web page'):
        read_checkpoint(f'{address}/a-01234567.pth')
    assert cached(tmp_path) == []


def test_address_that_does_not_exist(server, tmp_path):
    _, address = server
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(f'{address}/absent.pth')
    assert f'cannot download {address}/absent.pth' in str(error.value)
    assert '404' in str(error.value)
    assert str(cached_path(f'{address}/absent.pth')) in str(error.value)
    with pytest.raises(CheckpointError, match='download the file'):
        read_checkpoint('s3://bucket/a.pth')


def test_equal_names_are_kept_apart(server):
    served, address = server
    for name in ('tiny', 'base'):
        (served / name).mkdir()
        save(served / name / 'model.pth', {'name': name})
    for name in ('tiny', 'base'):
        found = read_checkpoint(f'{address}/{name}/model.pth')
        assert found == {'name': name}


@pytest.mark.parametrize('name', [
    'swin_tiny_patch4_window7_224.pth', 'swin_t-704ceda3.pth',
    'swin_20210526_192015-ee2fff1c.pth'
])
def test_published_names_are_shared_with_the_hub(name):
    path = cached_path(f'https://host/v1/{name}?download=1')
    assert path.name == name
    assert path.parent.name == 'checkpoints'


def test_files_of_this_machine_are_not_copied(server, tmp_path):
    for name in ('a', 'b c'):
        folder = tmp_path / name
        folder.mkdir()
        save(folder / 'model.pth', {'name': name})
        assert read_checkpoint((folder / 'model.pth').as_uri()) == {
            'name': name
        }
    assert cached(tmp_path) == []


def test_processes_side_by_side(server, tmp_path):
    served, address = server
    save(served / 'slow.pth', {'w': torch.arange(50000.)})
    code = ('import sys, torch; torch.hub.set_dir(sys.argv[1]); '
            'from swin_dense.checkpoints.read import read_checkpoint; '
            'print(read_checkpoint(sys.argv[2])["w"].sum().item())')
    command = [
        sys.executable, '-c', code,
        str(tmp_path / 'hub'), f'{address}/slow.pth'
    ]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [p.communicate()[0] for p in both] == ['1249975040.0\n'] * 2
    assert cached(tmp_path) == ['slow.pth']
