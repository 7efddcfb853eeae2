"""Imports flow one way, as docs/how_it_is_built.md draws it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from swin_dense import registry

PACKAGE = Path(__file__).resolve().parents[1] / 'swin_dense'
# Modules that all folders may import.
GROUND = {
    'config_files',
    'files',
    'limits',
    'model_list',
    'registry',
    'sizes',
    'version',
    'wording',
}
# Folder: what it may import besides.
BELOW = {
    'ops': '',
    'kernels': 'ops',
    'layers': 'ops kernels',
    'checkpoints': 'ops',
    'backbones': 'ops kernels layers checkpoints',
    'data': '',
    'synthetic': 'data',
    'visualization': '',
    'engine': 'ops kernels layers checkpoints backbones data visualization '
    'compat',
    'compat': '',
}
TASKS = ('detection', 'segmentation', 'video', 'pretraining')
for _task in TASKS:
    BELOW[_task] = ' '.join(name for name in BELOW if name not in TASKS)
BELOW['analysis'] = ' '.join(BELOW)
BELOW['preflight'] = ' '.join(BELOW)
BELOW['web'] = ' '.join(BELOW)
BELOW['deploy'] = ' '.join(BELOW)
BELOW['commands'] = ' '.join(BELOW)
BELOW['__main__'] = 'commands'
# torch.load reads foreign files by this package's reader, once it is called.
LAZY = {('compat', 'checkpoints')}
HOSTS = {'mmdet', 'mmseg', 'mmaction', 'mmpretrain'}
FREE_OF_HOSTS = (
    'ops kernels layers checkpoints backbones compat data '
    'synthetic visualization engine pretraining'
).split()

FILES = sorted(PACKAGE.rglob('*.py'))


def folder_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix('.py')


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Yield each imported module, its line, and whether it is at the top."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import'
            names = [f'{node.module}.{alias.name}' for alias in node.names]
            names.append(node.module)
        for name in names:
            yield name, node.lineno, id(node) not in inside


@pytest.mark.parametrize(
    'path', FILES, ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_come_from_below(path):
    here = folder_of(path)
    if here == '__init__':
        return
    allowed = GROUND | {here, *BELOW.get(here, '').split()}
    for name, line, at_top in imports(path):
        if not name.startswith('swin_dense.') or '__' in name:
            continue
        there = name.split('.')[1]
        if not at_top and (here, there) in LAZY:
            continue
        assert there in allowed, (
            f'{path}:{line}: {here} imports {name}; it may import '
            f'{sorted(allowed)}'
        )


@pytest.mark.parametrize(
    'path', FILES, ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_hosts_are_imported_by_tasks_alone(path):
    if folder_of(path) not in {*FREE_OF_HOSTS, *GROUND}:
        return
    for name, line, at_top in imports(path):
        assert not at_top or name.split('.')[0] not in HOSTS, (
            f'{path}:{line} imports {name} at module level'
        )


def test_importing_the_package_is_light():
    code = (
        'import sys; before = set(sys.modules); import swin_dense; '
        'new = {name.split(".")[0] for name in set(sys.modules) - before}; '
        'print(*sorted(new - sys.stdlib_module_names))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True
    )
    assert done.stdout == 'swin_dense\n', done.stderr


def test_every_folder_has_its_place():
    folders = {folder_of(path) for path in FILES} - {'__init__'}
    assert folders <= {*BELOW, *GROUND}


def test_locations_of_registries_exist():
    """A registered type is found by the dotted path of its module."""
    registries = [
        value
        for value in vars(registry).values()
        if isinstance(value, registry._LazyRegistry)
    ]
    assert len(registries) >= 7
    for entry in registries:
        places = [
            *entry._modules_by_type.values(),
            *(place.split('.', 1)[1] for place in entry._locations),
        ]
        assert places, entry.name
        for place in places:
            path = PACKAGE / place.replace('.', '/')
            assert path.is_dir() or path.with_suffix('.py').is_file(), place


def test_geometry_knows_no_device():
    for path in (PACKAGE / 'ops').rglob('*.py'):
        if path.name != 'size_cache.py':  # keeps tensors where they are used
            assert 'device.type' not in path.read_text(), path


def test_only_the_package_of_kernels_knows_its_sets():
    folder = PACKAGE / 'kernels'
    sets = [f'swin_dense.kernels.{path.stem}' for path in folder.iterdir()]
    assert 'swin_dense.kernels.plain' in sets
    for path in FILES:
        if folder not in path.parents:
            for name, line, _ in imports(path):
                assert name not in sets, f'{path}:{line}'
