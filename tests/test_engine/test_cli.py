"""Errors, exit statuses and JSON of the command lines."""

import argparse
import json
import warnings

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


def parsed(*argv):
    """Return the settings of `--cfg-options` on a command line."""
    parser = cli.make_parser('', 'x')
    cli.add_config_arguments(parser)
    return parser.parse_args(argv).cfg_options


def test_settings_are_parsed_together():
    nested = parsed(
        '--cfg-options',
        "a.metainfo=dict(classes=['a cat', 'dog'])",
        'b={"c": dict(d=(1, -2.5, None, True))}',
        'e=3',
    )
    assert nested == {
        'a.metainfo': {'classes': ['a cat', 'dog']},
        'b': {'c': {'d': (1, -2.5, None, True)}},
        'e': 3,
    }
    assert parsed('--cfg-options', 'a.b=1', 'c=x=y', 'd=[1,2]') == {
        'a.b': 1,
        'c': 'x=y',
        'd': [1, 2],
    }


@pytest.mark.parametrize(
    'argv, message',
    [
        (
            ['--cfg-options', 'a=1', 'lr'],
            'argument --cfg-options: expected KEY=VALUE, such as '
            "train_dataloader.batch_size=4, got 'lr'",
        ),
        (['--cfg-options', '=3'], "got '=3'"),
        (
            ['--cfg-options', 'm=dict(classes=[...])'],
            "expected a value in Python, such as dict(classes=['cat', 'dog'])"
            ", with names in quotes, got 'dict(classes=[...])'",
        ),
        (['--cfg-options', 'm=dict(classes=[a,b])'], 'with names in quotes'),
        (['--cfg-options', 'm=dict(1)'], 'expected a value in Python'),
        (['--cfg-options', 'm=f(1,2)'], "cannot read a value in ['m=f(1,2)']"),
        (['--cfg-options', 'a=[1,2'], 'Imbalanced brackets exist in [1,2'),
        (
            ['--cfg-optoins', 'a=1'],
            'unrecognized arguments: --cfg-optoins a=1; did you mean '
            '--cfg-options?',
        ),
        (['--degug'], 'unrecognized arguments: --degug; did you mean --debug'),
        (['--zzz'], 'unrecognized arguments: --zzz\n'),
    ],
)
def test_wrong_options_are_answered(argv, message, capsys):
    with pytest.raises(SystemExit) as stop:
        parsed(*argv)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error and 'Traceback' not in error


@pytest.mark.parametrize(
    'count, name, message',
    [
        (
            0,
            'cuda:0',
            '--device cuda:0: PyTorch finds no CUDA devices on this machine; '
            'use --device cpu',
        ),
        (0, 'cuda', 'finds no CUDA devices'),
        (2, 'cuda:2', 'finds 2 CUDA devices .* use --device cuda:1'),
        (2, 'gpu', '--device gpu is not a device; expected cpu, cuda or'),
    ],
)
def test_absent_devices(count, name, message, monkeypatch):
    monkeypatch.setattr('torch.cuda.device_count', lambda: count)
    with pytest.raises(ValueError, match=message):
        cli.check_device(name)


def test_devices_of_the_machine(monkeypatch):
    monkeypatch.setattr('torch.cuda.device_count', lambda: 2)
    for name in (None, 'cpu', 'cuda', 'cuda:1'):
        cli.check_device(name)


def test_harmless_warnings_of_hosts_are_not_shown(recwarn):
    def command(args):
        for text in (
            '``build_loss`` would be deprecated soon, please use X',
            'Default ``avg_non_ignore`` is False, if you would like to',
            'Setting MKL_NUM_THREADS environment variable for each process',
            'Your labels are wrong',
        ):
            warnings.warn(text)
        return 0

    assert cli.run(command, QUIET) == 0
    assert [str(w.message) for w in recwarn] == ['Your labels are wrong']
