"""The documentation site is built from the pages without a broken link."""

import html
import importlib.util
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from swin_dense.commands import COMMANDS

REPOSITORY = Path(__file__).resolve().parents[1]
needs_zensical = pytest.mark.skipif(
    find_spec('zensical') is None
    or find_spec('mkdocstrings_handlers') is None,
    reason='needs the extra docs, which needs Python 3.11',
)


def load_build():
    """Return a new copy of the module `docs/build.py`."""
    path = REPOSITORY / 'docs' / 'build.py'
    spec = importlib.util.spec_from_file_location('_docs_build', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Return the module with a repository of three pages, and its folder."""
    build = load_build()
    root = tmp_path / 'repository'
    (root / 'docs' / 'notes').mkdir(parents=True)
    (root / 'configs').mkdir()
    (root / 'docs' / 'index.md').write_text('# Home\n\n[one](notes/one.md)\n')
    (root / 'docs' / 'notes' / 'one.md').write_text(
        '# One\n\n[configs](../../configs/README.md), '
        '[home](../../README.md)\n'
    )
    (root / 'configs' / 'README.md').write_text(
        '# Configs\n\n[one](../docs/notes/one.md#one)\n'
    )
    settings = root / 'docs' / 'zensical.toml'
    settings.write_text(
        '[project]\nsite_name = "small"\ndocs_dir = "pages"\n'
        'nav = ["index.md", "notes/one.md", "configs/README.md"]\n'
    )
    monkeypatch.setattr(build, 'ROOT', root)
    monkeypatch.setattr(build, 'SETTINGS', settings)
    return build, root


@needs_zensical
def test_the_site_is_built(tmp_path):
    assert load_build().build(tmp_path / 'out') == 0
    site = tmp_path / 'out' / 'site'
    front = (site / 'index.html').read_text(encoding='utf-8')
    for picture in re.findall(r'<img[^>]* src="(assets/[^"]+)"', front):
        assert (site / picture).stat().st_size < 300_000
    page = (site / 'commands' / 'index.html').read_text(encoding='utf-8')
    text = html.unescape(re.sub(r'<[^>]+>', '', page))
    assert set(COMMANDS) <= set(re.findall(r'<h3 id="([\w-]+)"', page))
    assert '--auto-scale-lr' in text
    assert 'images per forward pass (default: 1)' in text
    assert '(default: work_dirs/<config>)' in text
    assert 'for detectors' in text


@needs_zensical
def test_a_small_site(small, tmp_path):
    build, _ = small
    assert build.build(tmp_path / 'out') == 0
    one = tmp_path / 'out' / 'site' / 'notes' / 'one' / 'index.html'
    links = re.findall(r'href="([^"]+)">(configs|home)<', one.read_text())
    assert links == [('../../configs/', 'configs'), ('../../', 'home')]


@needs_zensical
def test_an_unknown_anchor_ends_the_build(small, tmp_path):
    build, root = small
    (root / 'docs' / 'index.md').write_text(
        '# Home\n\n[x](notes/one.md#two)\n'
    )
    assert build.build(tmp_path / 'out') != 0


def test_a_link_to_a_file_that_is_not_shown(small, tmp_path):
    build, root = small
    (root / 'setup.py').write_text('')
    (root / 'docs' / 'index.md').write_text('[x](../setup.py)\n')
    with pytest.raises(ValueError, match='docs/index.md links to ../setup.py'):
        build.build(tmp_path / 'out')


def test_a_page_in_no_menu(small, tmp_path):
    build, root = small
    (root / 'docs' / 'two.md').write_text('# Two\n')
    with pytest.raises(ValueError, match='names no menu for two.md'):
        build.build(tmp_path / 'out')


def test_all_pages_are_in_the_menu():
    """A new page has a line in docs/zensical.toml."""
    assert load_build().pages_without_menu() == []
