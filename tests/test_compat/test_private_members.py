"""The list of the hosts' private members, against the installed hosts."""

import importlib
import pkgutil
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import swin_dense
from swin_dense.compat.mending import MendingFinder

PAGE = Path(__file__).parents[2] / 'docs' / 'notes' / 'compatibility.md'
MODULES = {'mmengine': 'mmengine', 'mmdet': 'mmdet', 'mmsegmentation': 'mmseg'}
HOSTS = {'mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmaction', 'mmpretrain'}
ROW = re.compile(r'\| (mm\w+) [\d.]+ \| `([\w/]+)\.py` \| (.*?) \|')


def rows():
    """Yield host, module and `Class.member` of each entry of the page."""
    text = PAGE.read_text().split('## Private members')[1].split('\n## ')[0]
    for host, file, members in ROW.findall(text):
        for member in re.findall(r'`([\w.]+)`', members):
            yield MODULES[host], file.replace('/', '.'), member


LISTED = [*rows()]


def source_of(host, module):
    if find_spec(host) is None:
        pytest.skip(f'{host} is not installed')
    path = Path(find_spec(host).origin).parent / module.replace('.', '/')
    if path.is_dir():
        return (path / '__init__.py').read_text()
    return path.with_suffix('.py').read_text()


@pytest.mark.parametrize('host, module, member', LISTED)
def test_a_listed_member_exists(host, module, member):
    source = source_of(host, module)
    kind, name = member.split('.')
    inside = re.split(rf'^class {kind}\b', source, flags=re.M)[1]
    inside = re.split(r'^class ', inside, flags=re.M)[0]
    pattern = rf'(def {name}\(|self\.{name}\b|^    {name}\b)'
    if host == 'mmengine' and name == '_instance_dict':
        source = source_of(host, 'utils.manager')  # made by the metaclass
        inside = source
        pattern = r'\._instance_dict ='
    assert re.search(pattern, inside, re.M), f'{host}.{module} has no {member}'


def test_the_list_is_read():
    assert len(LISTED) > 15
    assert ('mmengine', 'runner.runner', 'Runner._has_loaded') in LISTED


def overridden():
    """Yield the private members of hosts that classes here override."""
    for module in pkgutil.walk_packages(swin_dense.__path__, 'swin_dense.'):
        if module.name.endswith('__main__'):
            continue
        try:
            content = vars(importlib.import_module(module.name))
        except ImportError:  # a host or an extra is not installed
            continue
        for kind in content.values():
            if not isinstance(kind, type) or kind.__module__ != module.name:
                continue
            for name in vars(kind):
                if not re.match('_[a-z]', name) or name == '_abc_impl':
                    continue
                for base in kind.__mro__[1:]:
                    host = base.__module__.split('.')[0]
                    if host in HOSTS and name in vars(base):
                        yield f'{module.name}.{kind.__name__}', base, name
                        break


def test_every_overridden_member_is_listed():
    members = {(host, member) for host, _, member in LISTED}
    result = list(overridden())
    absent = [
        f'{kind} overrides {base.__module__}.{base.__name__}.{name}'
        for kind, base, name in result
        if (base.__module__.split('.')[0], f'{base.__name__}.{name}')
        not in members
    ]
    assert not absent, f'list these in {PAGE.name}: {absent}'
    if find_spec('mmengine'):
        assert '_save_best_checkpoint' in {name for *_, name in result}


def test_modules_that_shims_mend_exist():
    (finder,) = (f for f in sys.meta_path if isinstance(f, MendingFinder))
    checked = 0
    for name in finder.mends:
        host, _, module = name.partition('.')
        if find_spec(host) is not None:
            assert source_of(host, module)
            checked += 1
    if find_spec('mmdet'):
        assert checked
