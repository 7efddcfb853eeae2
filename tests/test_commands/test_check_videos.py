"""swin-dense check-videos: what it prints, writes and returns."""

import csv
import json

import pytest

from helpers.command_line import run
from helpers.numbered_clips import write_clip

pytest.importorskip('av', reason='clips are written by PyAV')


@pytest.fixture
def data(tmp_path):
    """Three good clips and a broken one, in a list and in folders."""
    for number, name in enumerate(('jump/a b', 'jump/c', 'run/d', 'run/e')):
        path = tmp_path / 'videos' / f'{name}.mp4'
        path.parent.mkdir(parents=True, exist_ok=True)
        write_clip(path, 8)
        if number == 2:
            path.write_bytes(b'nothing')
    (tmp_path / 'list.txt').write_text(
        'jump/a b.mp4 0\njump/c.mp4 0\nrun/d.mp4 1\nrun/e.mp4 1\n'
    )
    return tmp_path


def test_a_list(data, capsys):
    assert (
        run(
            'check_videos',
            data / 'list.txt',
            '--videos',
            data / 'videos',
            '--classes',
            2,
            '--clean',
            data / 'clean.txt',
            '--out',
            data / 'table.csv',
            '--min-frames',
            9,
        )
        == 1
    )
    assert (data / 'clean.txt').read_text() == (
        'jump/a b.mp4 0\njump/c.mp4 0\nrun/e.mp4 1\n'
    )
    with open(data / 'table.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['name'] for row in rows] == [
        'jump/a b.mp4',
        'jump/c.mp4',
        'run/d.mp4',
        'run/e.mp4',
    ]
    assert [row['frames'] for row in rows] == ['8', '8', '0', '8']
    assert [bool(row['problem']) for row in rows] == [0, 0, 1, 0]
    printed = capsys.readouterr().out
    assert 'clips     4, usable 3' in printed
    assert 'note: 3 clips have less than the 9 frames' in printed
    assert f'line 3: {data}/videos/run/d.mp4 cannot be read' in printed
    assert printed.endswith('1 problem\n')
    # What is clean is found clean.
    assert (
        run(
            'check_videos',
            data / 'clean.txt',
            '--videos',
            data / 'videos',
            '--classes',
            2,
        )
        == 0
    )
    assert 'no problems' in capsys.readouterr().out


def test_folders_and_names(data):
    (data / 'names.txt').write_text('run\njump\n')
    assert (
        run(
            'check_videos',
            data / 'videos',
            '--clean',
            data / 'clean.csv',
            '--out',
            data / 'table.json',
            '--workers',
            1,
            '--classes',
            data / 'names.txt',
            '--decoders',
            'opencv',
        )
        == 1
    )
    assert (data / 'clean.csv').read_text() == (
        'path,label\njump/a b.mp4,jump\njump/c.mp4,jump\nrun/e.mp4,run\n'
    )
    rows = json.loads((data / 'table.json').read_text())
    assert [row['label'] for row in rows] == [1, 1, 0, 0]
    assert rows[0]['decoder'] == 'opencv' and rows[0]['seconds'] == 0.32


def test_labels_that_count_from_one(data, capsys):
    path = data / 'ones.txt'
    path.write_text('jump/c.mp4 1\nrun/e.mp4 2\n')
    command = (
        'check_videos',
        path,
        '--videos',
        data / 'videos',
        '--classes',
        2,
    )
    assert run(*command) == 1
    assert 'seem to count from 1' in capsys.readouterr().out
    assert (
        run(*command, '--first-label', 1, '--clean', data / 'zeros.txt') == 0
    )
    assert (data / 'zeros.txt').read_text() == 'jump/c.mp4 0\nrun/e.mp4 1\n'


def test_a_config(data, capsys):
    pytest.importorskip('mmaction', reason='needs mmaction2')
    config = data / 'config.py'
    config.write_text(
        'sample = dict(type="SampleFrames", clip_len=4, frame_interval=3)\n'
        'dataset = dict(type="swin_dense.CheckedVideoDataset", '
        f'ann_file="", data_prefix=dict(video={str(data / "videos")!r}), '
        'pipeline=[sample])\n'
        'default_scope = "mmaction"\n'
        'train_dataloader = dict(dataset=dataset)\n'
        'val_dataloader = dict(dataset=dict(dataset, test_mode=True))\n'
    )
    assert run('check_videos', config) == 1
    printed = capsys.readouterr().out
    assert 'train:\n  clips     4, usable 3' in printed
    assert 'val:\n  clips     4, usable 3' in printed
    assert 'less than the 10 frames' in printed


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['absent.txt'], 'absent.txt does not exist'),
        (['list.txt'], 'add --classes N'),
        (['list.txt', '--clean', 'list.txt'], 'write to another file'),
        (['list.txt', '--out', 'table.xls'], 'must end in .csv or .json'),
        (['some.py', '--classes', '3'], 'are for lists and folders'),
        (['list.txt', '--classes', '2', '--decoders', 'x'], 'choose from'),
        (['empty.txt', '--classes', '2'], 'contains no clips'),
    ],
)
def test_what_cannot_be_done(data, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(data)
    (data / 'empty.txt').write_text('')
    assert run('check_videos', *arguments) == 1
    assert message in capsys.readouterr().err
    assert not (data / 'table.xls').exists()


@pytest.mark.parametrize(
    'tool, what',
    [('check_videos', 'has clips'), ('check_label_maps', 'has label maps')],
)
def test_a_config_without_such_data(tmp_path, capsys, tool, what):
    """To check nothing is no success."""
    config = tmp_path / 'config.py'
    config.write_text(
        "default_scope = 'mmdet'\n"
        "train_dataloader = dict(dataset=dict(type='ConcatDataset', datasets=["
        "dict(type='swin_dense.CheckedCocoDataset', ann_file='a.json')]))\n"
    )
    assert run(tool, config) == 1
    assert f'no data set of this config {what}' in capsys.readouterr().err
