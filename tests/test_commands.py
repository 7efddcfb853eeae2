"""`swin-dense` and `python -m swin_dense`: list of commands and dispatch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from swin_dense import commands
from swin_dense.version import __version__

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = Path(commands.__file__).parent


def test_every_module_is_a_command_and_a_tool():
    modules = {module for module, _ in commands.COMMANDS.values()}
    result = {path.stem for path in FOLDER.glob('*.py')} - {'__init__'}
    assert modules == result
    for module in modules:
        text = (REPOSITORY / 'tools' / f'{module}.py').read_text()
        assert f'from swin_dense.commands.{module} import main' in text


@pytest.mark.parametrize('name', commands.COMMANDS)
def test_the_list_shows_the_first_line_of_the_help(name):
    module, summary = commands.COMMANDS[name]
    text = ast.get_docstring(ast.parse((FOLDER / f'{module}.py').read_text()))
    assert ' '.join(text.split('\n\n')[0].split()) == summary
    assert f'  {name} ' in commands.format_help()
    assert summary in commands.format_help()


def test_the_list_needs_no_import():
    """So that it appears at once: nothing but Python is imported."""
    code = (
        'import sys; from swin_dense.commands import main; '
        'status = main(["--help"]); '
        'new = {name.split(".")[0] for name in sys.modules}; '
        'print(status, *sorted({"torch", "mmengine", "numpy", "cv2"} & new))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == '0', done.stdout + done.stderr
    assert done.stdout.startswith('usage: swin-dense COMMAND ...')


def test_the_module_runs_commands(tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'swin_dense', 'inspect', 'no.pth'],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stderr.startswith('swin-dense inspect: error: ')
    assert 'no.pth does not exist' in done.stderr


def test_version(capsys):
    assert commands.main(['--version']) == 0
    assert capsys.readouterr().out == f'swin_dense {__version__}\n'


@pytest.mark.parametrize(
    'argv, message',
    [
        ([], 'swin-dense: error: no command'),
        (['trian'], "there is no command 'trian'; did you mean train?"),
        (['zzz'], "there is no command 'zzz'"),
    ],
)
def test_other_commands_are_refused(argv, message, capsys):
    assert commands.main(argv) == 2
    out, error = capsys.readouterr()
    assert out == '' and error.rstrip().endswith(message)


def test_arguments_and_name_reach_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['swin-dense', 'inspect', '--help'])
    with pytest.raises(SystemExit) as stopped:
        commands.main()
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith('usage: swin-dense inspect ')
