"""Rules that hold for all source files of the package."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / 'swin_dense'
FILES = sorted(PACKAGE.rglob('*.py'))
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# First words of a docstring that describes instead of giving an order.
DESCRIBING = re.compile(
    r'(A|An|As|For|How|If|One|Same|Such|The|This|Those|What|When|Where|'
    r'Whether|Which|Who|Whose)\b'
)
# A call that changes the shape of a tensor.
RESHAPING = re.compile(
    r'\.(flatten|movedim|permute|reshape|transpose|unflatten|view(?!\(np))\(|F\.pad\('
)
# Folders of tests without a folder of that name in the package.
BY_SUBJECT = ('configs', 'device', 'projects')
WITH_SHAPES = (
    'backbones',
    'detection',
    'kernels',
    'layers',
    'ops',
    'pretraining',
    'segmentation',
    'video',
)


def name_of(path):
    return str(path.relative_to(PACKAGE))


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding='utf-8'))


@cache
def words():
    """Count the words of the code that is not a test."""
    folders = ('swin_dense', 'tools', 'projects', 'configs')
    return Counter(
        word
        for folder in folders
        for path in (REPOSITORY / folder).rglob('*.py')
        for word in re.findall(r'\w+', path.read_text(encoding='utf-8'))
    )


@pytest.mark.parametrize('path', FILES, ids=name_of)
def test_functions_are_used_outside_of_tests(path):
    unused = [
        node.name
        for node in tree_of(path).body
        if isinstance(node, (*FUNCTIONS, ast.ClassDef))
        and words()[node.name] == 1
        and not node.name.startswith('__')  # Python calls it
    ]
    assert not unused


@pytest.mark.parametrize('path', FILES, ids=name_of)
def test_docstrings_of_functions_open_with_an_order(path):
    wrong = []
    for node in ast.walk(tree_of(path)):
        if not isinstance(node, FUNCTIONS):
            continue
        decorators = [ast.unparse(entry) for entry in node.decorator_list]
        docstring = ast.get_docstring(node) or ''
        if 'property' not in decorators and DESCRIBING.match(docstring):
            wrong.append(f'{node.lineno}: {docstring.splitlines()[0]}')
    assert not wrong


@pytest.mark.parametrize('path', FILES, ids=name_of)
def test_files_named_in_docstrings_exist(path):
    nodes = (ast.Module, ast.ClassDef, *FUNCTIONS)
    text = '\n'.join(
        ast.get_docstring(node) or ''
        for node in ast.walk(tree_of(path))
        if isinstance(node, nodes)
    )
    for file in re.findall(r'`([\w/]+\.(?:py|md|sh|cfg|toml))`', text):
        if file.startswith('_base_/'):
            file = f'configs/{file}'
        assert any(
            (folder / file).exists()
            for folder in (REPOSITORY, PACKAGE, path.parent)
        ), file


@pytest.mark.parametrize('path', FILES, ids=name_of)
def test_no_sequence_is_multiplied_by_a_truth_value(path):
    """`if` says plainly when a sequence is empty."""
    sequences = (ast.Tuple, ast.List, ast.JoinedStr)
    for node in ast.walk(tree_of(path)):
        if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)):
            continue
        sides = [node.left, node.right]
        is_sequence = any(
            isinstance(side, sequences)
            or isinstance(side, ast.Constant)
            and isinstance(side.value, str)
            for side in sides
        )
        is_truth_value = any(
            isinstance(side, (ast.Compare, ast.BoolOp))
            or ast.unparse(side).startswith('bool(')
            for side in sides
        )
        assert not (is_sequence and is_truth_value), (
            f'line {node.lineno}: {ast.unparse(node)}'
        )


@pytest.mark.parametrize(
    'path',
    [path for path in FILES if name_of(path).split('/')[0] in WITH_SHAPES],
    ids=name_of,
)
def test_a_comment_gives_the_shape_after_reshaping(path):
    """It stands at the end of the line, or of the statement."""
    lines = path.read_text(encoding='utf-8').splitlines()
    missing = []
    for node in ast.walk(tree_of(path)):
        if not isinstance(node, ast.stmt) or hasattr(node, 'body'):
            continue
        statement = lines[node.lineno - 1 : node.end_lineno]
        before = lines[node.lineno - 2]
        if any(RESHAPING.search(line) for line in statement) and not any(
            re.search(r'#.*\(', line) for line in (before, *statement)
        ):
            missing.append(f'{node.lineno}: {statement[0].strip()}')
    assert not missing


def test_folders_of_tests_mirror_those_of_the_sources():
    tests = REPOSITORY / 'tests'
    folders = [path for path in tests.rglob('test_*') if path.is_dir()]
    assert len(folders) > 15
    for folder in folders:
        parts = [
            part.removeprefix('test_')
            for part in folder.relative_to(tests).parts
        ]
        assert PACKAGE.joinpath(*parts).is_dir() or parts[0] in BY_SUBJECT, (
            folder
        )
