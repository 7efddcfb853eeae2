"""Records go to the console or to the log file alone."""

import io
import logging
import re
import warnings
from pathlib import Path

import mmengine.runner.runner
import numpy
import pytest
from mmengine.logging import MMLogger
from mmengine.model import Sequential
from torch.nn import Linear

from helpers.training import runner
from swin_dense.engine import run_log
from swin_dense.engine.run_log import (
    foreign_warnings_to_file,
    is_for_console,
    is_of_installed_package,
)

HOST = mmengine.runner.runner.__file__


def record(message, level=logging.INFO, path='elsewhere.py'):
    return logging.LogRecord('mmengine', level, path, 1, message, (), None)


@pytest.mark.parametrize(
    'entry, expected',
    [
        (record('Config:\nmodel = 1', path=HOST), False),
        (record('LR is set based on batch size of 16', path=HOST), True),
        (record('several\nlines', logging.WARNING, HOST), True),
        (record('class  images\ncar    3'), True),
        (record('paramwise_options -- backbone.norm.weight: lr=1'), False),
        (record('"FileClient" will be deprecated', logging.WARNING), False),
    ],
)
def test_records_for_the_console(entry, expected):
    assert is_for_console(entry) is expected


def test_files_of_installed_packages():
    assert is_of_installed_package(numpy.__file__)
    assert is_of_installed_package(io.__file__)
    assert not is_of_installed_package(run_log.__file__)
    assert not is_of_installed_package('my_transforms.py')


def test_the_console_of_a_run_is_short(tmp_path, capsys):
    MMLogger._instance_dict.clear()  # earlier ones write to closed streams
    run = runner(tmp_path, log_level='INFO', cfg=dict(marker=1))
    run.logger.info('a line for people')
    shown = capsys.readouterr().out
    assert 'a line for people' in shown
    written = Path(run.logger.log_file).read_text()
    for text in ('System environment', 'Config:', 'Hooks will be executed'):
        assert text in written and text not in shown
    assert shown.count('\n') < 5 < written.count('\n')


def test_a_console_without_a_file_is_short_and_whole(capsys, monkeypatch):
    monkeypatch.setattr(MMLogger, '_instance_dict', {})
    logger = MMLogger.get_instance('predict')
    run_log.quieten_console(logger)
    logger.info('paramwise_options -- neck.bias: lr=1')
    logger.warning('odd')
    Sequential(Linear(2, 3)).init_weights()  # mmengine's
    shown = re.sub(r'\d\d:\d\d:\d\d', 'TIME', capsys.readouterr().out)
    assert shown == (
        'TIME  paramwise_options -- neck.bias: lr=1\nTIME  warning: odd\n'
    )


def warn_from(file):
    warnings.warn_explicit('odd use', UserWarning, file, 7)


def test_foreign_warnings_go_to_the_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(MMLogger, '_instance_dict', {})
    # pytest records warnings by replacing this function.
    shown = []
    monkeypatch.setattr(
        warnings, 'showwarning', lambda message, *rest: shown.append(rest[1])
    )
    warnings.simplefilter('always')
    log = tmp_path / 'run.log'
    with foreign_warnings_to_file():
        warn_from(numpy.__file__)  # before there is a log file
        logger = MMLogger.get_instance('run', log_file=str(log))
        run_log.quieten_console(logger)
        warn_from(io.__file__)
        warn_from('my_transforms.py')
    logger.handlers[1].close()
    assert shown == ['my_transforms.py']
    text = log.read_text()
    for file in (numpy.__file__, io.__file__):
        assert f'{file}:7: UserWarning: odd use' in text
    console = capsys.readouterr().out
    assert f'Warnings of installed packages: 2, in {log}' in console
    assert 'odd use' not in console


def test_foreign_warnings_without_a_log_file_are_shown(monkeypatch):
    monkeypatch.setattr(MMLogger, '_instance_dict', {})
    shown = []
    monkeypatch.setattr(
        warnings, 'showwarning', lambda message, *rest: shown.append(rest[1])
    )
    warnings.simplefilter('always')
    with foreign_warnings_to_file():
        warn_from(numpy.__file__)
        assert not shown
    assert shown == [numpy.__file__]
