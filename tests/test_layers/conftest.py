"""Fixtures of the tests of layers."""
import pytest

from swin_dense.ops import blocks


@pytest.fixture(params=['plain', 'one block', 'many blocks'])
def path(request, monkeypatch):
    """All paths: steps for the whole map, few blocks, many blocks."""
    if request.param == 'plain':
        for layer in ('block', 'attention', 'feedforward'):
            monkeypatch.setattr(f'swin_dense.layers.{layer}.prefers_blocks',
                                lambda x: False)
    elif request.param == 'many blocks':
        monkeypatch.setattr(blocks, 'BLOCK_BYTES', 400)
