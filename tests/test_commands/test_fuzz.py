"""Damaged files: every one is read or refused, by its name and in time."""

import logging
import subprocess
import sys
import time
from itertools import islice

import numpy as np
import pytest
from mmengine.logging import MMLogger

from helpers.command_line import REPOSITORY, tool

fuzz = tool('fuzz')
# Those of clips take longer.
COUNTS = dict(json=100, image=100, labels=100, clip=25, checkpoint=100)
# Seconds of one file: far above what any takes, far below an endless loop.
LIMIT = 20


@pytest.fixture(autouse=True)
def _no_log(monkeypatch):
    # mmengine's logger may hold the output of an earlier test, closed by now.
    monkeypatch.setattr(MMLogger.get_current_instance(), 'disabled', True)
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize('name', COUNTS)
def test_damaged_files(name, tmp_path):
    if name == 'clip':
        pytest.importorskip('av', reason='clips are written by PyAV')
    if name == 'checkpoint':
        pytest.importorskip('safetensors')
    kind = fuzz.KINDS[name](tmp_path)
    for sample, content in kind.samples().items():
        good = tmp_path / sample
        good.write_bytes(content)
        assert fuzz.attempt(kind, good) == ''
        kind.read(good)
    refused = 0
    files = fuzz.attempts(kind, np.random.default_rng(1))
    for path in islice(files, COUNTS[name]):
        start = time.process_time()
        assert fuzz.attempt(kind, path) == '', path.read_bytes()
        assert time.process_time() - start < LIMIT, path.read_bytes()
        try:
            kind.read(path)
        except ValueError:
            refused += 1
    assert refused > COUNTS[name] // 5


def test_files_neither_read_nor_refused_are_reported():

    class Wrong(fuzz.Kind):
        def __init__(self, error):
            self.error = error

        def read(self, path):
            raise self.error

    for error, expected in (
        (KeyError('x'), "KeyError: 'x'"),
        (AssertionError('y'), 'AssertionError: y'),
        (ValueError('z'), 'error without the path: Val'),
        (RecursionError(), 'RecursionError'),
        (ValueError('a/b is bad'), ''),
    ):
        result = fuzz.attempt(Wrong(error), 'a/b')
        assert result.startswith(expected) and bool(result) == bool(expected)


def test_the_command_line(tmp_path):
    """Each kind has a process of its own, which a crash may end."""
    done = subprocess.run(
        [
            sys.executable,
            REPOSITORY / 'tools' / 'fuzz.py',
            '--seconds',
            '1',
            '--kinds',
            'labels',
            '--out',
            tmp_path / 'out',
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert 'labels: ' in done.stdout and 'no failures' in done.stdout
    assert not (tmp_path / 'out').exists()
