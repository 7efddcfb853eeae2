"""Addresses are opened within their scheme and a total time."""

import time

import pytest
import torch

from helpers.file_server import CONTENT, cached, save
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.read import read_checkpoint


@pytest.mark.parametrize(
    'target',
    [
        'https://127.0.0.1:9/a.pth',
        'file:///etc/hostname',
        'ftp://host/a.pth',
        'data:text/plain,a',
    ],
)
def test_redirections_to_another_scheme(server, tmp_path, target):
    _, address = server
    with pytest.raises(
        CheckpointError, match=': it redirects to |Redirection to url'
    ) as error:
        read_checkpoint(f'{address}/a.pth?to={target}')
    assert target in str(error.value) and cached(tmp_path) == []


def test_redirections_within_the_scheme(server, second_server):
    (served, address), (_, other) = server, second_server
    save(served / 'a.pth')
    result = read_checkpoint(f'{other}/b.pth?to={address}/a.pth')
    assert result.keys() == CONTENT.keys()


@pytest.mark.parametrize('name', ['slow.pth', 'dripping.pth', 'endless.pth'])
def test_total_time(server, tmp_path, monkeypatch, name):
    served, address = server
    save(served / 'slow.pth', {'w': torch.randn(200000)})
    monkeypatch.setenv('SWIN_DENSE_DOWNLOAD_MINUTES', '.01')
    start = time.monotonic()
    with pytest.raises(CheckpointError, match='takes longer than 0.01 minu'):
        read_checkpoint(f'{address}/{name}')
    assert time.monotonic() - start < 3
    assert cached(tmp_path) == []
