"""Pickles that name modules, nest deeply or multiply are refused."""

from helpers.pickled import (
    Pickle,
    name,
    refusal,
    write_zip,
)
from swin_dense.checkpoints.files.read import read_checkpoint


def test_names_of_python_modules_are_not_imported(tmp_path):
    for module in ('antigravity', 'os.path', 'torch.nn', 'swin_dense.files'):
        text = refusal(write_zip(tmp_path / 'a.pth', name(module, 'x')))
        assert f'besides weights it holds {module}.x, ' in text


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def test_deep_nesting(tmp_path):
    for code in (b']' * 50000 + b'a' * 49999, b')' + b'\x85' * 50000):
        path = write_zip(tmp_path / 'a.pth', Pickle().raw(code))
        assert 'nested deeper than 100' in refusal(path)
    path = write_zip(tmp_path / 'a.pth', Pickle().raw(b']q\x00h\x00a'))
    assert 'nested deeper than 100' in refusal(path)


def test_entries_that_multiply(tmp_path, monkeypatch):
    # Each tuple holds the previous tuple twice: 2**60 values in all.
    doubled = Pickle().raw(b']' + b'q\x00h\x00\x86' * 60)
    monkeypatch.setenv('SWIN_DENSE_MAX_CHECKPOINT_ENTRIES', '20000')
    text = refusal(write_zip(tmp_path / 'a.pth', doubled))
    assert 'SWIN_DENSE_MAX_CHECKPOINT_ENTRIES' in text
    # Strings are copied when they are encoded.
    once = (
        Pickle()
        .name('_codecs', 'encode')
        .raw(b'h\x01')
        .put('latin1')
        .raw(b'\x86R')
    )
    many = Pickle().put('x' * 4000000).raw(b'q\x01')
    many = Pickle().put([many] + [once] * 100)
    text = refusal(write_zip(tmp_path / 'a.pth', many))
    assert 'more memory than a file of its size may take' in text


def test_numbers_of_any_length(tmp_path):
    path = write_zip(tmp_path / 'a.pth', 1 << 2000)
    assert read_checkpoint(path)['x'] == 1 << 2000
