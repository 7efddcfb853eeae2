"""The check of a GPU, run small on a CPU, and on a GPU if there is one."""

import json

import pytest
import torch

from helpers.command_line import run
from swin_dense.analysis import gpu_check
from swin_dense.analysis.gpu_check import LIMITS, PARTS, Setting


def test_every_part_has_a_limit():
    assert list(PARTS) == list(LIMITS)
    assert sum(LIMITS.values()) <= 480


def check(tmp_path, *parts):
    out = tmp_path / 'gpu.json'
    options = ['--seconds', 3000] + ['--parts', *parts] * bool(parts)
    assert (
        run('gpu_check', '--device', 'cpu', '--small', '--out', out, *options)
        == 0
    )
    results = json.loads(out.read_text())['parts']
    assert list(results) == list(parts or LIMITS)
    assert not any('error' in part for part in results.values())
    return {name: part['rows'] for name, part in results.items()}


def test_small_on_a_cpu(tmp_path, capsys):
    rows = check(tmp_path, 'versions', 'operator_parity', 'operator_times')
    assert rows['versions'][0]['torch'] == torch.__version__
    assert rows['versions'][0]['kernels']['plain'] == 'works'
    assert all(row['passed'] for row in rows['operator_parity'])
    assert {row['kernels'] for row in rows['operator_parity']} == set(
        Setting('cpu').sets
    )
    assert all(row['ms'] > 0 for row in rows['operator_times'])
    assert '== operator_times' in capsys.readouterr().out


@pytest.mark.slow
def test_all_of_it_on_a_cpu(tmp_path):
    rows = check(tmp_path)
    assert all(row['passed'] for row in rows['backbone_parity'])
    assert {row['dtype'] for row in rows['detector_parity']} == {
        'float32',
        'float16',
    }
    assert all(row['passed'] for row in rows['detector_parity'])
    measured = {row['model'] for row in rows['models']}
    assert measured == {
        'mask_rcnn_swin_nano_shapes',
        'upernet_swin_nano_shapes',
        'video_swin_nano_shapes',
    }
    for model in measured:  # ours and the host's, forward and with backward
        times = [row for row in rows['models'] if row['model'] == model]
        assert [row['kernels'] for row in times] == ['cuda'] * 2 + ['host'] * 2
        assert all(row['ms'] > 0 for row in times)
    assert rows['launches'][0]['operations'] > 100
    assert rows['sizes'][0]['sizes'] == 2


def test_a_part_that_fails_leaves_the_others(monkeypatch):
    def slow(setting):
        yield dict(number=1)
        while True:
            pass

    def broken(setting):
        yield dict(passed=False)
        raise ArithmeticError('no')

    monkeypatch.setitem(gpu_check.LIMITS, 'sizes', 0.02)
    monkeypatch.setitem(PARTS, 'sizes', slow)
    monkeypatch.setitem(PARTS, 'models', broken)
    lines = []
    results = gpu_check.check(
        Setting('cpu', True), ['sizes', 'models', 'versions'], lines.append, 60
    )
    assert results['sizes']['rows'] == [{'number': 1}]
    assert results['sizes']['error'].startswith('TimeoutError: took more')
    assert 'number 1' in lines
    assert results['models']['error'] == 'ArithmeticError: no'
    assert 'error' not in results['versions']
    assert len(gpu_check.failures(results)) == 3


def test_a_cpu_needs_small(capsys):
    assert run('gpu_check', '--device', 'cpu') == 1
    assert 'add --small' in capsys.readouterr().err


@pytest.mark.cuda
def test_on_a_gpu(tmp_path, device):
    out = tmp_path / 'gpu.json'
    parts = [
        'versions',
        'operator_parity',
        'backbone_parity',
        'detector_parity',
        'launches',
    ]
    options = ['--device', device, '--out', out]
    if not device.startswith('cuda'):
        options += ['--small', '--seconds', 3000]
    assert run('gpu_check', *options, '--parts', *parts) == 0
    rows = json.loads(out.read_text())['parts']['launches']['rows']
    assert all(row['waits'] <= 1 for row in rows)
