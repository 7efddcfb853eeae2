"""Run tests on our kernels and on torchvision."""

from importlib.util import find_spec

import pytest

from swin_dense.compat import mmcv_operators

SERVERS = (
    ['PyTorch', 'torchvision'] if find_spec('torchvision') else ['PyTorch']
)


@pytest.fixture(params=SERVERS)
def server(request, monkeypatch):
    """Run a test by our kernels, and by torchvision where it is installed."""
    if request.param == 'PyTorch':
        monkeypatch.setattr(
            mmcv_operators, 'torchvision_ops', lambda device: None
        )
    else:
        assert mmcv_operators.torchvision_ops('cpu') is not None
    return request.param
