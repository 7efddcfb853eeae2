"""Downloads are kept, checked, complete, and safe in parallel."""

import hashlib
import subprocess
import sys

import pytest
import torch

from helpers.file_server import CONTENT, Quiet, cached, save
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files import published
from swin_dense.checkpoints.files.download import cached_path
from swin_dense.checkpoints.files.read import read_checkpoint


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
    # A truncated file of another program.
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
    with pytest.raises(CheckpointError, match='the content is a web page'):
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
        result = read_checkpoint(f'{address}/{name}/model.pth')
        assert result == {'name': name}


@pytest.mark.parametrize(
    'name', ['swin_t-704ceda3.pth', 'swin_20210526_192015-ee2fff1c.pth']
)
def test_names_with_a_hash_are_shared_with_the_hub(name):
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
    save(served / 'slow.pth', {'w': torch.arange(50000.0)})
    code = (
        'import sys, torch; torch.hub.set_dir(sys.argv[1]); '
        'from swin_dense.checkpoints.files.read import read_checkpoint; '
        'print(read_checkpoint(sys.argv[2])["w"].sum().item())'
    )
    command = [
        sys.executable,
        '-c',
        code,
        str(tmp_path / 'hub'),
        f'{address}/slow.pth',
    ]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [p.communicate()[0] for p in both] == ['1249975040.0\n'] * 2
    assert cached(tmp_path) == ['slow.pth']


def damage(path):
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    'name',
    ['swin_tiny_patch4_window7_224.pth', 'model.safetensors.pth', 'a.pth'],
)
def test_servers_do_not_answer_for_each_other(server, second_server, name):
    for number, (folder, address) in enumerate((server, second_server)):
        save(folder / name, {'number': number})
        assert read_checkpoint(f'{address}/{name}') == {'number': number}
    # The second time both come from the cache.
    for number, (_, address) in enumerate((server, second_server)):
        assert read_checkpoint(f'{address}/{name}') == {'number': number}
    assert len(Quiet.requests) == 2


@pytest.mark.parametrize(
    'name',
    [
        '..',
        '%2e%2e',
        '..%2f..%2f..%2fescaped',
        '%5c..%5cescaped',
        '%00',
        '~',
        '.bashrc',
        '',
        'x' * 300,
    ],
)
def test_names_stay_in_their_folder(tmp_path, monkeypatch, name):
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'hub'))
    path = cached_path(f'https://host/folder/{name}')
    assert path.parent.parent == tmp_path / 'hub' / 'checkpoints'
    assert not path.name.startswith('.') and 0 < len(path.name) < 200


def test_damaged_file_is_fetched_anew(server, tmp_path, logged):
    served, address = server
    save(served / 'a.pth')
    read_checkpoint(f'{address}/a.pth')
    path = cached_path(f'{address}/a.pth')
    digest = hashlib.sha256((served / 'a.pth').read_bytes()).hexdigest()
    record = path.with_name('a.pth.sha256')
    assert record.read_text() == f'{digest}  a.pth\n'
    for harm in (damage, lambda path: path.write_bytes(b'')):
        harm(path)
        assert read_checkpoint(f'{address}/a.pth').keys() == CONTENT.keys()
        assert path.read_bytes() == (served / 'a.pth').read_bytes()
    assert len(Quiet.requests) == 3
    assert 'downloading it again' in logged.text


def test_file_that_was_replaced_on_the_server(server):
    served, address = server
    save(served / 'a.pth')
    read_checkpoint(f'{address}/a.pth')
    save(served / 'a.pth', {'other': 1})
    assert read_checkpoint(f'{address}/a.pth').keys() == CONTENT.keys()
    path = cached_path(f'{address}/a.pth')
    damage(path)
    with pytest.raises(
        CheckpointError, match='the hash of the first download'
    ):
        read_checkpoint(f'{address}/a.pth')
    path.with_name('a.pth.sha256').unlink()
    path.unlink()
    assert read_checkpoint(f'{address}/a.pth') == {'other': 1}


def test_file_that_was_put_there_by_hand(server):
    _, address = server
    path = cached_path(f'{address}/a.pth')
    path.parent.mkdir(parents=True)
    save(path)
    assert read_checkpoint(f'{address}/a.pth').keys() == CONTENT.keys()
    assert path.with_name('a.pth.sha256').is_file() and not Quiet.requests


@pytest.mark.parametrize('right', [True, False])
def test_published_hash(server, tmp_path, monkeypatch, right):
    served, address = server
    digest = hashlib.sha256(save(served / 'a.pth').read_bytes()).hexdigest()
    monkeypatch.setitem(
        published.SHA256, f'{address}/a.pth', digest if right else '0' * 64
    )
    if right:
        assert read_checkpoint(f'{address}/a.pth').keys() == CONTENT.keys()
        damage(cached_path(f'{address}/a.pth'))
        assert read_checkpoint(f'{address}/a.pth').keys() == CONTENT.keys()
        return
    with pytest.raises(CheckpointError, match=f'{digest}, which does not'):
        read_checkpoint(f'{address}/a.pth')
    assert cached(tmp_path) == []


def test_published_hashes_are_whole():
    for address, digest in published.SHA256.items():
        assert address.startswith('https://')
        assert len(digest) == 64 and int(digest, 16)


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('name', ['unsized_cut.pth', 'unsized.pth'])
def test_body_without_a_length(server, tmp_path, name, zipped):
    served, address = server
    torch.save(
        {'w': torch.randn(10000)},
        served / name,
        _use_new_zipfile_serialization=zipped,
    )
    if 'cut' not in name:
        assert read_checkpoint(f'{address}/{name}')['w'].shape == (10000,)
        return
    with pytest.raises(CheckpointError, match='cannot download .*cut.pth'):
        read_checkpoint(f'{address}/{name}')
    assert cached(tmp_path) == []


@pytest.mark.parametrize('name', ['large.pth', 'unsized.pth'])
def test_total_size(server, tmp_path, monkeypatch, name):
    served, address = server
    save(served / name, {'w': torch.randn(100000)})
    monkeypatch.setenv('SWIN_DENSE_MAX_DOWNLOAD_GB', '1e-4')
    with pytest.raises(CheckpointError, match='is larger than 0.0001 GB'):
        read_checkpoint(f'{address}/{name}')
    assert cached(tmp_path) == []
