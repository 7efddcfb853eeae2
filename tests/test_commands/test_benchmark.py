import importlib.util
import json
import sys
from pathlib import Path

import pytest

from helpers.placeholders import partly
from swin_dense.analysis import benchmark

PATH = Path(__file__).parents[2] / 'tools' / 'benchmark.py'
SPEC = importlib.util.spec_from_file_location('benchmark_tool', PATH)
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)


def test_backbone_alone(tmp_path, capsys):
    out = tmp_path / 'figures.json'
    assert (
        tool.main(
            [
                '--shape',
                '64',
                '96',
                '--repeats',
                '1',
                '--alone',
                '--out',
                str(out),
            ]
        )
        == 0
    )
    figures = json.loads(out.read_text())
    assert figures['shape'] == [64, 96]
    assert [row['quantity'] for row in figures['rows']] == [
        'forward, time',
        'forward + backward, time',
        'forward, peak memory',
        'forward + backward, peak memory',
    ]
    for row in figures['rows']:
        assert row['ours'] > 0
        assert row['peer'] is None and row['ratio'] is None
    # The gradients of the 27.5 million parameters alone take 105 MiB.
    assert figures['rows'][3]['ours'] > 105 * 2**20
    assert 'Swin, tiny, 1x3x64x96, float32' in capsys.readouterr().out


@pytest.mark.parametrize('name', ['mask_rcnn_swin', 'htcpp_swin'])
def test_whole_detector_beside_mmdet(name, capsys):
    config = PATH.parents[1] / 'configs' / f'{name}_nano_shapes.py'
    assert (
        tool.main(
            [
                str(config),
                '--shape',
                '96',
                '96',
                '--repeats',
                '1',
                '--no-memory',
            ]
        )
        == 0
    )
    lines = capsys.readouterr().out.strip().splitlines()[-2:]
    for line, quantity in zip(lines, ('forward', 'forward + backward')):
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        assert cells[0] == f'{quantity}, time'
        model, peer = (float(cell.removesuffix(' ms')) for cell in cells[1:3])
        assert float(cells[3]) == pytest.approx(model / peer, abs=0.02)


def test_products_are_a_part_of_the_peers_time(capsys):
    arguments = '--shape 64 64 --repeats 2 --no-memory --products'
    assert tool.main(arguments.split()) == 0
    rows = capsys.readouterr().out.strip().splitlines()[-4:]
    cells = [[cell.strip() for cell in row.split('|')] for row in rows]
    assert [row[1] for row in cells] == [
        f'{quantity}, {kind}'
        for quantity in ('forward', 'forward + backward')
        for kind in ('time', 'matrix products alone')
    ]
    for time, products in (cells[:2], cells[2:]):
        assert products[3] == time[3]
        assert 0 < float(products[4])


def test_video_beside_mmaction2(capsys):
    pytest.importorskip('mmaction', reason='mmaction2 is not installed')
    assert (
        tool.main(
            [
                '--frames',
                '4',
                '--shape',
                '32',
                '48',
                '--repeats',
                '1',
                '--no-memory',
            ]
        )
        == 0
    )
    out = capsys.readouterr().out
    assert 'Video Swin, tiny, 1x3x4x32x48, float32' in out
    assert '| | swin_dense | mmaction2 | ratio |' in out


@pytest.mark.parametrize(
    'peer, module',
    [
        ('mmpretrain', 'mmpretrain.models.backbones.swin_transformer_v2'),
        ('transformers', 'transformers'),
    ],
)
def test_v2_beside_its_peers(peer, module, capsys):
    if peer == 'mmpretrain':
        partly(module)
    pytest.importorskip(module, reason=f'{peer} is not installed')
    assert (
        tool.main(
            [
                '--v2',
                peer,
                '--window',
                '4',
                '--shape',
                '32',
                '48',
                '--repeats',
                '1',
                '--no-memory',
                '--with-cp',
                '--sequential',
            ]
        )
        == 0
    )
    out = capsys.readouterr().out
    assert 'Swin V2, tiny, 1x3x32x48, float32' in out
    assert f'| | swin_dense | {peer} | ratio |' in out


def test_peer_that_cannot_be_imported(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'transformers', None)
    assert tool.main(['--v2', 'transformers', '--shape', '32', '48']) == 1
    error = capsys.readouterr().err
    assert 'transformers cannot be imported' in error
    assert '--alone' in error


def test_memory_alone(monkeypatch, capsys):
    asked = []

    def peak(case, name, quantity):
        asked.append((case.with_cp, case.sequential, name, quantity))
        return 3 * 2**20

    monkeypatch.setattr(benchmark, '_peak_in_child', peak)
    assert (
        tool.main(
            [
                '--v2',
                'mmpretrain',
                '--sequential',
                '--dtype',
                'bfloat16',
                '--alone',
                '--no-time',
            ]
        )
        == 0
    )
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[-2:] == [
        '| forward, peak memory | 3 MiB | - | - |',
        '| forward + backward, peak memory | 3 MiB | - | - |',
    ]
    assert asked == [
        (False, True, 'ours', 'forward'),
        (False, True, 'ours', 'forward + backward'),
    ]


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--no-time', '--no-memory'], 'measure nothing'),
        (
            ['--v2', 'mmpretrain', '--frames', '4'],
            '--v2 takes neither --frames',
        ),
        (['--with-cp'], '--with-cp and --sequential need --v2'),
        (['--products', '--alone'], 'on the CPU beside another '),
        (['--frames', '0'], '--frames must be positive'),
        (['--repeats', '0'], 'must be positive'),
        (['--busy', '-1'], '--busy must not be negative'),
        (['nowhere.py'], 'config nowhere.py does not exist'),
    ],
)
def test_bad_arguments(arguments, message, capsys):
    assert tool.main(arguments) == 1
    assert message in capsys.readouterr().err


def test_beside_other_programs(monkeypatch, capsys):
    monkeypatch.setattr(
        benchmark, '_OTHER_PROGRAM', 'import time; time.sleep(600)'
    )
    started, start = [], benchmark.subprocess.Popen

    def popen(*args, **kwargs):
        started.append(start(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(benchmark.subprocess, 'Popen', popen)
    arguments = '--shape 32 32 --repeats 1 --alone --no-memory --busy 2'
    assert tool.main(arguments.split()) == 0
    assert 'beside 2 other programs' in capsys.readouterr().out
    assert len(started) == 4  # two for each measure
    assert all(process.poll() is not None for process in started)
