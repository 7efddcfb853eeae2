"""Servers of checkpoints."""

import threading
from functools import partial
from http.server import ThreadingHTTPServer

import pytest
import torch

from helpers.file_server import Quiet


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serve the folder `served`, with a temporary hub folder."""
    monkeypatch.setattr(Quiet, 'requests', [])
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'hub'))
    served = tmp_path / 'served'
    served.mkdir()
    http = ThreadingHTTPServer(
        ('127.0.0.1', 0), partial(Quiet, directory=str(served))
    )
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield served, f'http://127.0.0.1:{http.server_port}'
    http.shutdown()
    http.server_close()


@pytest.fixture
def second_server(server):
    """Run another server of the same host name for another folder."""
    served, _ = server
    other = served.parent / 'other'
    other.mkdir()
    http = ThreadingHTTPServer(
        ('127.0.0.1', 0), partial(Quiet, directory=str(other))
    )
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield other, f'http://127.0.0.1:{http.server_port}'
    http.shutdown()
    http.server_close()
