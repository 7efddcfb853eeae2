"""Imports flow one way through the packages of the model."""
import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'swin_dense'
# Each may import those before it.
LAYERS = ('sizes', 'ops', 'kernels', 'layers', 'checkpoints', 'backbones')
HOSTS = ('mmdet', 'mmseg', 'mmaction', 'mmpretrain')


def imports(file, everywhere=True):
    """Names of all modules that a file imports, or at its top level only."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


def files(part):
    folder = PACKAGE / part
    return sorted(
        folder.rglob('*.py')) if folder.is_dir() else [PACKAGE / f'{part}.py']


@pytest.mark.parametrize('part', LAYERS)
def test_imports_flow_one_way(part):
    allowed = {*LAYERS[:LAYERS.index(part) + 1], 'registry', 'files'}
    for file in files(part):
        for name in imports(file):
            parts = name.split('.')
            if parts[0] == 'swin_dense' and len(parts) > 1:
                assert parts[1] in {
                    *allowed, 'version'
                } or (parts[1][0] == '_'), f'{file}: {name}'


@pytest.mark.parametrize('part', [*LAYERS, 'compat'])
def test_hosts_are_not_imported_with_the_module(part):
    for file in files(part):
        for name in imports(file, everywhere=False):
            assert name.split('.')[0] not in HOSTS, f'{file}: {name}'


def test_geometry_knows_no_device():
    for file in files('ops'):
        if file.name != 'size_cache.py':  # keeps tensors where they are used
            assert 'device.type' not in file.read_text(), file


def test_only_the_package_of_kernels_knows_its_sets():
    sets = [
        f'swin_dense.kernels.{path.stem}'
        for path in (PACKAGE / 'kernels').iterdir()
    ]
    assert 'swin_dense.kernels.plain' in sets
    for file in sorted(PACKAGE.rglob('*.py')):
        if PACKAGE / 'kernels' not in file.parents:
            for name in imports(file):
                assert name not in sets, file
