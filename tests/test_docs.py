"""Pages show commands, paths, links and names that exist."""

import argparse
import ast
import importlib
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from mmengine.config import Config

from swin_dense.commands import COMMANDS as COMMANDS_BY_NAME
from swin_dense.config_files import find_config

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted(
    page
    for pattern in (
        '*.md',
        'docs/**/*.md',
        'configs/*.md',
        'tools/*.md',
        'projects/**/*.md',
    )
    for page in REPOSITORY.glob(pattern)
)
TOOLS = sorted(
    path.name
    for ending in ('py', 'sh')
    for path in (REPOSITORY / 'tools').glob(f'*.{ending}')
)
# A usage with an open value, or a command named with one of its options.
USAGE = re.compile(
    r'\.\.\. --|--\w+ (N|LAYOUT|TARGET)$|\||^swin-dense [\w-]+ --[\w-]+$'
)
SCRIPT = re.compile(r'(tools|projects(/\w+)+)/\w+\.(py|sh)')


def _name(page):
    return str(page.relative_to(REPOSITORY))


@cache
def _text(page):
    return page.read_text(encoding='utf-8')


def _code(page):
    """Yield the code of a page: lines of fenced blocks, then inline code."""
    text = _text(page)
    fence = re.compile(r'^ *```\w*\n(.*?)^ *```', re.M | re.S)
    for block in fence.findall(text):
        yield from block.replace('\\\n', ' ').splitlines()
    for span in re.findall(r'`([^`]+)`', fence.sub('', text)):
        yield ' '.join(span.split())


def _commands(page):
    """Yield (script, arguments) of the scripts of ours that a page runs."""
    for line in _code(page):
        if line.startswith('#'):  # the first line of a config
            line = line.lstrip('# ')
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # prose or Python with a lone quote
            continue
        if len(words) > 1 and re.fullmatch(r'(.*/)?python3?', words[0]):
            words = words[1:]
        elif words and words[0] == 'swin-dense' and len(words) > 2:
            if USAGE.search(line):
                continue
            module, _ = COMMANDS_BY_NAME[words[1]]
            words = [f'tools/{module}.py', *words[2:]]
        elif words and not words[0].endswith('.sh'):
            continue
        if words and SCRIPT.fullmatch(words[0]):
            yield words[0], words[1:]


COMMANDS = sorted(
    {
        (_name(page), script, tuple(words))
        for page in PAGES
        for script, words in _commands(page)
    }
)


class _Parsed(Exception):
    """Stops a script once its command line is read."""


def _parse(monkeypatch, script, words):
    """Return the arguments of a script; nothing of it runs."""
    parse_args = argparse.ArgumentParser.parse_args

    def stop(self, *args):
        raise _Parsed(parse_args(self, *args))

    if script.endswith('.sh'):  # CONFIG [CHECKPOINT] GPUS [OPTIONS]
        kept = {'dist_train.sh': 1, 'dist_test.sh': 2}[Path(script).name]
        assert re.fullmatch(r'\d+|GPUS', words[kept]), words
        words = [*words[:kept], *words[kept + 1 :]]
        script = script.replace('dist_', '').replace('.sh', '.py')
    path = REPOSITORY / script
    spec = importlib.util.spec_from_file_location(f'_doc_{path.stem}', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, 'parse_args', stop)
        with pytest.raises(_Parsed) as stopped:
            module.main(list(words))
    return stopped.value.args[0]


def config_file(config):
    """Return the file of a config that a page names, by path or by name."""
    if config.startswith('configs/'):
        return REPOSITORY / config
    if '/' in config or config in ('CONFIG', 'mine.py'):
        return None
    assert find_config(config), f'there is no config {config}'
    return find_config(config)


def test_there_are_pages_and_commands():
    assert len(PAGES) > 20 and len(COMMANDS) > 60


@pytest.mark.parametrize(
    'page, script, words',
    COMMANDS,
    ids=[f'{page}-{index}' for index, (page, *_) in enumerate(COMMANDS)],
)
def test_commands(page, script, words, monkeypatch, capsys):
    """Each is parsed, and its config takes the options."""
    assert (REPOSITORY / script).is_file(), f'{page}: no {script}'
    try:
        args = _parse(monkeypatch, script, words)
    except SystemExit:
        pytest.fail(f'{page}: {capsys.readouterr().err}')
    config = getattr(args, 'config', None)
    file = config and '_mine' not in config and config_file(config)
    if file:
        cfg = Config.fromfile(str(file))
        options = getattr(args, 'cfg_options', None)
        for key in options or ():
            # Each but the last part leads somewhere.
            node = cfg
            for part in key.split('.')[:-1]:
                node = node[int(part) if part.isdigit() else part]


@pytest.mark.parametrize('page', PAGES, ids=_name)
def test_links(page):
    for target in re.findall(r'\]\(([^)\s]+)\)', _text(page)):
        if target.startswith(('https://', 'http://')):
            continue
        file, _, anchor = target.partition('#')
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), f'{_name(page)}: {target}'
        if anchor:
            titles = re.findall(r'^#+ (.+)$', _text(linked), re.M)
            anchors = {
                re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-')
                for title in titles
            }
            assert anchor in anchors, f'{_name(page)}: {target}'


@pytest.mark.parametrize('page', PAGES, ids=_name)
def test_paths(page):
    """Paths of the repository exist."""
    folders = r'(?:tools|configs|docs|projects|tests|swin_dense)'
    for span in re.findall(r'`([^`\n]+)`', _text(page)):
        path = span.split()[0]
        if not re.match(rf'{folders}/[\w/.{{}},*-]+$', path):
            continue
        if re.search(r'_mine|NAME|work_dirs', path):
            continue
        pattern = re.sub(r'\{[^}]*\}', '*', path)
        assert list(REPOSITORY.glob(pattern)), f'{_name(page)}: {span}'


@pytest.mark.parametrize('page', PAGES, ids=_name)
def test_names_of_configs(page):
    configs = {path.stem for path in (REPOSITORY / 'configs').glob('*.py')}
    configs |= {
        path.stem for path in REPOSITORY.glob('projects/*/configs/*.py')
    }
    form = re.compile(
        r'`(?:configs/)?((?:mask_rcnn|cascade|htcpp|(?:mask_)?reppoints_v2|'
        r'upernet|video)_'
        r'(?:cb_)?swin(?:v2)?_(?:nano|[tsbl])_\w+)(?:\.py)?`'
    )
    named = {name for name in form.findall(_text(page)) if 'mine' not in name}
    assert named <= configs


@pytest.mark.parametrize('page', PAGES, ids=_name)
def test_names_of_python(page):
    """`swin_dense.x.y` is a module, an attribute or a registered type."""
    from swin_dense import backbones, registry

    types = set(backbones.__all__).union(
        *(
            each._modules_by_type
            for each in vars(registry).values()
            if isinstance(each, registry._LazyRegistry)
        )
    )
    for name in re.findall(r'`swin_dense((?:\.\w+)+)', _text(page)):
        first, *rest = name[1:].split('.')
        if first in types:
            continue
        node = importlib.import_module('swin_dense')
        for part in (first, *rest):
            try:
                node = importlib.import_module(f'{node.__name__}.{part}')
            except (ImportError, AttributeError):
                node = getattr(node, part)


@pytest.mark.parametrize('page', PAGES, ids=_name)
def test_programs(page):
    """Modules and classes that Python code on a page imports exist."""
    text = _text(page)
    for block in re.findall(r'^```python\n(.*?)^```', text, re.M | re.S):
        ast.parse(re.sub(r'(?<=, )\.\.\.(?=\))', '**{}', block))
    pairs = re.findall(r'^ *from (swin_dense\S+) import (\w+)', text, re.M)
    pairs += [
        (module, name)
        for name, module in re.findall(
            r'`(\w+)\([^`]*` of\s+`(swin_dense[\w.]+)`', text
        )
    ]
    for module, name in pairs:
        assert hasattr(importlib.import_module(module), name), (module, name)


@pytest.mark.parametrize('page', PAGES, ids=_name)
def test_targets_of_make(page):
    targets = re.findall(r'^([\w-]+):', _text(REPOSITORY / 'Makefile'), re.M)
    named = re.findall(r'^make ([\w-]+)|`make ([\w-]+)`', _text(page), re.M)
    assert {first or second for first, second in named} <= set(targets)


def _cells(page):
    text = _text(REPOSITORY / page)
    return re.findall(r'^\| (`.*?) \|', text, re.M)


def test_tables_name_all_tools_and_commands():
    cells = ' '.join(_cells('tools/README.md'))
    assert {tool for tool in TOOLS if tool not in cells} == set()
    cells = ' '.join(_cells('docs/get_started.md'))
    modules = {f'{module}.py' for module, _ in COMMANDS_BY_NAME.values()}
    assert {tool for tool in TOOLS if tool not in cells} == modules
    named = re.findall(r'`swin-dense ([\w-]+)', cells)
    assert sorted(named) == sorted(COMMANDS_BY_NAME)


@pytest.mark.parametrize('tool', [name for name in TOOLS if '.py' in name])
def test_help_ends_with_an_example(tool, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        _parse(monkeypatch, f'tools/{tool}', ['--help'])
    assert stopped.value.code == 0
    _, _, example = capsys.readouterr().out.partition('example:\n  ')
    command = shlex.split(' '.join(example.replace('\\\n', ' ').split()))
    names = [
        name
        for name, (module, _) in COMMANDS_BY_NAME.items()
        if f'{module}.py' == tool
    ]
    assert command[:2] == (
        ['swin-dense', *names] if names else ['python', f'tools/{tool}']
    )
    _parse(monkeypatch, f'tools/{tool}', command[2:])


def test_environment_variables():
    """Pages name all that the code reads, and no others."""
    pattern = re.compile(r'\bSWIN_DENSE_[A-Z_]+[A-Z]')
    code = {
        name
        for path in (REPOSITORY / 'swin_dense').rglob('*.py')
        for name in pattern.findall(path.read_text(encoding='utf-8'))
    }
    named = {name for page in PAGES for name in pattern.findall(_text(page))}
    limits = named - code
    # Limits are read by the part after the prefix.
    sources = ''.join(
        path.read_text(encoding='utf-8')
        for path in (REPOSITORY / 'swin_dense').rglob('*.py')
    )
    for name in limits:
        assert name.removeprefix('SWIN_DENSE_') in sources, name
    assert code - named <= {'SWIN_DENSE_'}, code - named


def test_numerical_changes_have_numbers():
    """Each entry of the change log says what changes by how much."""
    blocks = re.findall(
        r'^### Numerical changes\n(.*?)(?=^##)',
        _text(REPOSITORY / 'CHANGELOG.md'),
        re.M | re.S,
    )
    assert blocks
    for block in blocks:
        for entry in re.split(r'^- ', block, flags=re.M)[1:]:
            assert re.search(r'\d', entry.removeprefix('Since 20')), entry


# Names of other software, of files of users, and placeholders.
FOREIGN = re.compile(
    r'_mine|_instances?|ANNOTATIONS|DetInferencer|LD_PRELOAD|NAME|TMPDIR|'
    r'TORCH_HOME|bert-|contrib|libtcmalloc|proposal_file|stage\d|cb_swin|'
    r'tokenizer_name|work_dirs|\*|\.pth|\d{3}x|timm/|_ft_in1k|zdaxie|'
    r'hf download|swin_b/|mps|TORCH_INDEX|^docker|--(shm-size|ipc)|^mpirun|'
    r'NCCL_|Bus error|(image_demo|get_flops|swin2mmdet)\.py'
)
# The table of private members has a test of its own, test_private_members.
TABLE_OF_HOSTS = re.compile(r'^\| \w+ [\d.]+ \| .*$', re.M)


@cache
def _words_of_sources():
    """Return all words in the sources, and the names of their files."""
    words = set()
    for folder in ('swin_dense', 'configs', 'tools', 'tests', 'projects', '.'):
        deep = (REPOSITORY / folder).rglob('*')
        flat = REPOSITORY.glob('*')
        for path in deep if folder != '.' else flat:
            words.add(path.stem)
            if path.suffix in ('.py', '.sh', '.cfg', '.txt', '.toml'):
                words |= set(re.findall(r'\w+', _text(path)))
    return words | set(re.findall(r'\w+', _text(REPOSITORY / 'Makefile')))


@pytest.mark.parametrize('page', PAGES, ids=_name)
def test_names_exist(page):
    """Identifiers on a page also stand in the sources."""
    text = TABLE_OF_HOSTS.sub('', _text(page))
    text = re.sub(r'^ *```.*?^ *```', '', text, flags=re.M | re.S)
    absent = [
        span
        for span in re.findall(r'`([^`\n]+)`', text)
        if not FOREIGN.search(span)
        for word in re.findall(r'[A-Za-z_]\w{2,}', span)
        if word not in _words_of_sources() and not find_config(word)
    ]
    assert not absent
