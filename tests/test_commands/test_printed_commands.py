"""Commands and options that our messages print exist and can be read."""

import argparse
import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

import swin_dense
from helpers.command_line import CONFIG
from swin_dense.commands import COMMANDS
from swin_dense.engine import compare_trainings
from swin_dense.engine.base_predictor import BasePredictor
from swin_dense.engine.launch import load_config
from swin_dense.pretraining import comparison

PACKAGE = Path(swin_dense.__file__).parent
# Options of other programs, and of our own processes.
FOREIGN = {
    '--child',
    '--index-url',
    '--local-dir',
    '--no-build-isolation',
    '--nproc',
    '--nproc_per_node',
    '--shm-size',
    '--standalone',
    '--upgrade',
}
# Stands for a value that is put in.
VALUE = 'VALUE'


def texts():
    """Yield file, line and text of each string that is no docstring."""
    for path in sorted(PACKAGE.rglob('*.py')):
        tree = ast.parse(path.read_text())
        documented = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if hasattr(node, 'body')
            and isinstance(node.body, list)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        inside = {
            id(part)
            for node in ast.walk(tree)
            if isinstance(node, ast.JoinedStr)
            for part in ast.walk(node)
            if part is not node
        }
        for node in ast.walk(tree):
            if id(node) in documented | inside:
                continue
            if isinstance(node, ast.JoinedStr):
                text = ''.join(
                    str(part.value)
                    if isinstance(part, ast.Constant)
                    else VALUE
                    for part in node.values
                )
            elif isinstance(node, ast.Constant) and isinstance(
                node.value, str
            ):
                text = node.value
            else:
                continue
            yield f'{path.relative_to(PACKAGE)}:{node.lineno}', text


TEXTS = [(place, text) for place, text in texts() if '-' in text]


def parser_of(command):
    module = importlib.import_module(
        f'swin_dense.commands.{COMMANDS[command][0]}'
    )
    return module.make_parser()


def options_of(command):
    return {*parser_of(command)._option_string_actions}


def printed():
    """Return place, command and options of each command that is printed."""
    found = []
    for place, text in TEXTS:
        for match in re.finditer(
            r'swin-dense (?!COMMAND)([a-z][a-z-]+)([^`;:]*)', text
        ):
            options = re.findall(r'(?<![\w-])--[a-z][a-z0-9_-]*', match[2])
            found.append((place, match[1], options))
    return found


@pytest.mark.parametrize(
    'place, command, options', printed(), ids=lambda value: str(value)[:60]
)
def test_commands_exist_and_have_the_options(place, command, options):
    assert command in COMMANDS, place
    assert {*options} <= options_of(command) | FOREIGN, place


def test_many_commands_are_printed():
    assert len(printed()) > 30


def test_every_option_is_one_of_a_command():
    known = {'--help', '--version'} | FOREIGN
    for command in COMMANDS:
        known |= options_of(command)
    parser = compare_trainings.make_parser('', '', work_dir='')
    comparison.add_pretraining_arguments(parser, config='', pretraining='')
    known |= {*parser._option_string_actions}
    unknown = {
        (place, option)
        for place, text in TEXTS
        # Style sheets have variables: var(--name).
        for option in re.findall(
            r'(?<![\w-])(?<!var\()--[a-z][a-z0-9_-]*', text
        )
        if option not in known
    }
    assert not unknown


def test_settings_that_are_printed_can_be_read():
    """What follows `--cfg-options`, up to a sign that ends it."""
    seen = 0
    parser = parser_of('train')
    for place, text in TEXTS:
        for setting in re.findall(
            r'--cfg-options ("[^"]+"|[\w.]+=[^\s;,)]+)', text
        ):
            words = shlex.split(setting.replace('...', VALUE))
            args = parser.parse_args(['config', '--cfg-options', *words])
            assert isinstance(args.cfg_options, dict), place
            seen += 1
    assert seen > 1


def test_the_remedy_for_absent_class_names():
    """It once ended in a RecursionError."""
    with pytest.raises(ValueError) as caught:
        BasePredictor._open_data(None, {}, None)
    remedy = re.search(r'--cfg-options "[^"]*"', str(caught.value))[0]
    args = parser_of('predict').parse_args(
        ['config', 'weights', 'image', '--out', 'out', *shlex.split(remedy)]
    )
    cfg = load_config(CONFIG, args.cfg_options)
    classes = cfg.test_dataloader.dataset.metainfo.classes
    assert classes == ['cat', 'dog']


def test_parsers_are_read():
    assert isinstance(parser_of('train'), argparse.ArgumentParser)
