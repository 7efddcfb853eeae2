"""Only regular files are read, and files are written atomically."""

import json
import os

import pytest

from helpers.hostile_paths import write_hostile_paths
from swin_dense.files import (
    UnreadableFileError,
    open_regular,
    read_json,
    read_text,
    remove_leftovers,
    replacing,
)


def test_only_files_are_opened(tmp_path):
    """A named pipe would block, and a device would never end."""
    for path, reason in write_hostile_paths(tmp_path, '.x').items():
        for read in (open_regular, read_text, read_json):
            with pytest.raises(UnreadableFileError) as caught:
                read(path)
            assert str(caught.value) == f'{path} {reason}'
            assert caught.value.reason == reason


@pytest.mark.parametrize(
    'name, reason',
    [
        ('absent', 'does not exist'),
        ('n' * 300, 'has a name that is too long'),
        (os.fsdecode(b'\xff'), 'does not exist'),
    ],
)
def test_names_without_a_file(tmp_path, name, reason):
    with pytest.raises(UnreadableFileError) as caught:
        open_regular(tmp_path / name)
    assert caught.value.reason == reason


@pytest.mark.skipif(
    not hasattr(os, 'geteuid') or os.geteuid() == 0,
    reason='the superuser may read everything',
)
def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / 'secret'
    path.write_text('x')
    path.chmod(0)
    with pytest.raises(UnreadableFileError, match='permission denied'):
        open_regular(path)


@pytest.mark.parametrize(
    'name',
    [
        os.fsdecode(b'\xff.json'),
        '-rf.json',
        'two\nlines.json',
        'x' * 250 + '.js',
    ],
)
def test_any_name_is_read_and_written(tmp_path, name):
    path = tmp_path / name
    with replacing(path) as partial:
        assert partial.parent == tmp_path
        partial.write_text('[1]')
    assert read_json(path) == [1]
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    'content, reason',
    [
        (b'[' * 100_000 + b']' * 100_000, 'is nested too deeply'),
        (b'{"a":' * 100_000 + b'1' + b'}' * 100_000, 'is nested too deeply'),
        (b'{"images": [', 'is not a JSON file'),
        (b'\xff\xfe', 'is not a text file'),
        (b'[' + b'9' * 10_000 + b']', 'is not a JSON file'),
    ],
)
def test_damaged_json(tmp_path, content, reason):
    path = tmp_path / 'bad.json'
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match=reason) as caught:
        read_json(path)
    assert str(caught.value).startswith(str(path))


def test_a_byte_order_mark_is_left_out(tmp_path):
    path = tmp_path / 'good.json'
    path.write_bytes(b'\xef\xbb\xbf' + json.dumps({'ä': 1}).encode())
    assert read_json(path) == {'ä': 1}


def test_leftovers_show_the_name(tmp_path):
    (tmp_path / 'epoch_1.pth').touch()
    context = replacing(tmp_path / 'epoch_1.pth')
    partial = context.__enter__()
    partial.touch()
    assert partial.name.startswith('.epoch_1.pth.')
    assert remove_leftovers(tmp_path) == [partial]
    assert [path.name for path in tmp_path.iterdir()] == ['epoch_1.pth']
