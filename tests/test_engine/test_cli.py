"""Errors, exit statuses and JSON of the command lines."""

import argparse
import json

import pytest

from swin_dense.data.decoders.base import VideoError
from swin_dense.engine import cli

QUIET = argparse.Namespace(debug=False)


def failing(error):

    def command(args):
        raise error

    return command


@pytest.mark.parametrize(
    'error, shown',
    [
        (ValueError('classes is a string'), 'error: classes is a string\n'),
        (KeyError('X is not in the model registry'), 'error: X is not in the'),
        (
            TypeError("got an unexpected keyword argument 'a'"),
            'error: got an un',
        ),
        (
            ValueError(
                'Caught ValueError in DataLoader worker process 0.\nOriginal '
                'Traceback (most recent call last):\n  File "x.py", line 1\n'
                'ValueError: a.jpg is truncated'
            ),
            'error: a.jpg is trunc',
        ),
        (
            VideoError(
                'Caught VideoError in DataLoader worker process 0.\nOriginal '
                'Traceback (most recent call last):\n  File "x.py", line 1\n'
                'swin_dense.data.decoders.VideoError: a.mp4 is empty'
            ),
            'error: a.mp4 is empty\n',
        ),
    ],
)
def test_errors_of_the_user_are_one_paragraph(error, shown, capsys):
    assert cli.run(failing(error), QUIET) == 1
    text = capsys.readouterr().err
    assert shown in text and 'Traceback' not in text


@pytest.mark.parametrize(
    'error', [KeyError('x'), TypeError('x'), RuntimeError('x')]
)
def test_defects_show_where_they_are(error, capsys):
    assert cli.run(failing(error), QUIET) == 1
    assert 'Traceback' in capsys.readouterr().err


def test_status_of_success_and_of_an_interrupt(capsys):
    assert cli.run(lambda args: 0, QUIET) == 0
    assert cli.run(failing(KeyboardInterrupt()), QUIET) == 130
    assert 'interrupted' in capsys.readouterr().err


@pytest.mark.parametrize(
    'signal, status', [(KeyboardInterrupt, 130), (cli.Terminated, 143)]
)
def test_signals_that_a_host_catches(signal, status, monkeypatch, capsys):
    """mmengine reports any exception while it formats a config as syntax."""
    from mmengine.config import Config, config

    def stopped(*args, **kwargs):
        raise signal

    monkeypatch.setattr(config, 'FormatCode', stopped)
    command = Config(dict(a=1)).dump
    assert cli.run(lambda args: command(), QUIET) == status
    assert 'error' not in capsys.readouterr().err


def test_json_is_valid_whatever_the_numbers(tmp_path):
    path = tmp_path / 'new' / 'a.json'
    cli.write_json(path, {'a': float('nan'), 'b': [1.5, float('inf')]})
    assert json.loads(path.read_text()) == {'a': None, 'b': [1.5, None]}
    cli.write_json(path, [{'a': 1}, {'b': 2}])
    assert path.read_text() == '[\n{"a": 1},\n{"b": 2}\n]\n'
    cli.write_json(path, [])
    assert json.loads(path.read_text()) == []
    assert [p.name for p in path.parent.iterdir()] == ['a.json']
