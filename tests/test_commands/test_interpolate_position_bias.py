"""The command line of tools/interpolate_position_bias.py."""

import subprocess
import sys
from functools import partial
from hashlib import sha256

import cv2
import pytest
import torch

from helpers.command_line import REPOSITORY, run
from helpers.window_files import model, weights
from swin_dense.checkpoints.files.metadata import metadata_of
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.checkpoints.load import load_backbone

interpolate = partial(run, 'interpolate_position_bias')


@pytest.fixture
def source(tmp_path):
    path = tmp_path / 'swin.pth'
    torch.save({'model': weights('v1', window_size=3), 'epoch': 3}, path)
    return path


def test_table_file_and_picture(source, tmp_path):
    target, plot = tmp_path / 'out.pth', tmp_path / 'out.png'
    done = subprocess.run(
        [
            sys.executable,
            'tools/interpolate_position_bias.py',
            str(source),
            str(target),
            '--window',
            '5',
            '--plot',
            str(plot),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f'{source}: Microsoft backbone'
    assert lines[1].split() == ['name', 'heads', 'from', 'to']
    assert lines[2].split() == [
        'layers.0.blocks.0.attn.relative_position_bias_table',
        '1',
        '3x3',
        '5x5',
    ]
    assert lines[10:12] == [
        '8 of 8 tensors change, bicubic',
        '4 tensors that no longer fit are left out '
        '(layers.0.blocks.1.attn_mask, layers.1.blocks.1.attn_mask, '
        'layers.2.blocks.1.attn_mask, ...)',
    ]
    digest = sha256(target.read_bytes()).hexdigest()
    assert lines[12].endswith(f'sha256 {digest}')
    checkpoint = read_checkpoint(target)
    assert checkpoint['epoch'] == 3
    assert metadata_of(checkpoint) == dict(
        method='bicubic',
        window=[5, 5],
        from_windows=[[3, 3]],
        tool=metadata_of(checkpoint)['tool'],
        source='swin.pth',
        source_sha256=sha256(source.read_bytes()).hexdigest(),
    )
    assert load_backbone(model('v1', window_size=5), target).resized == []
    height, width = cv2.imread(str(plot)).shape[:2]
    assert height > 900 and width > 1400
    assert not list(tmp_path.glob('.*'))


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_v2_file_loads_as_it_was_trained(tmp_path, suffix):
    if suffix == '.safetensors':
        pytest.importorskip('safetensors', reason='safetensors is absent')
    source, target = tmp_path / 'v2.pth', tmp_path / f'out{suffix}'
    torch.save({'model': weights('v2', window_size=4)}, source)
    assert (
        interpolate(
            source, target, '--window', 6, '--plot', tmp_path / 'a.png'
        )
        == 0
    )
    network = model('v2', window_size=6)
    report = load_backbone(network, target)
    assert report.notes[0] == (
        'log-MLP of 4x4 windows evaluated for 6x6 in 8 blocks'
    )
    # The file may be moved on: it remembers.
    assert interpolate(target, source, '--window', 8, '--force') == 0
    recorded = metadata_of(read_checkpoint(source))
    assert recorded['pretrained_window_sizes'] == 4 * [[4, 4]]


def test_the_same_twice_is_the_same_file(source, tmp_path):
    paths = [tmp_path / 'a.pth', tmp_path / 'b.pth']
    for path in paths:
        assert interpolate(source, path, '--window', 5) == 0
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_moving_on_uses_the_recorded_window(tmp_path):
    path, other = tmp_path / 'a.pth', tmp_path / 'b.pth'
    torch.save(weights('v1', buffers=False, window_size=3), path)
    assert interpolate(path, other, '--window', 3, 5) == 0
    assert interpolate(other, path, '--window', 4, '--force') == 0
    assert metadata_of(read_checkpoint(path))['from_windows'] == [[3, 5]]


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--window', '1'], 'window must be between 2 and 128'),
        (['--window', '12', '--image-size', '224'], 'beyond the last map'),
        (['--window', '5', '5', '5'], 'is for images'),
        (['--window', '5', '--from-window', '4'], 'has 49 rows'),
        (
            ['--window', '5', '--plot', 'p.png', '--heads', '9.0.0'],
            'no block 9.0',
        ),
    ],
)
def test_errors_write_nothing(source, tmp_path, capsys, arguments, message):
    assert interpolate(source, tmp_path / 'out.pth', *arguments) == 1
    error = capsys.readouterr().err
    assert str(source) in error and message in error
    assert [path.name for path in tmp_path.iterdir()] == ['swin.pth']


def test_existing_file_and_source_are_not_overwritten(
    source, tmp_path, capsys
):
    content = source.read_bytes()
    target = tmp_path / 'out.pth'
    target.write_bytes(b'precious')
    assert interpolate(source, target, '--window', 5) == 1
    assert 'exists: give another path, or --force' in capsys.readouterr().err
    assert target.read_bytes() == b'precious'
    assert interpolate(source, source, '--window', 5, '--force') == 1
    assert 'is SRC itself' in capsys.readouterr().err
    assert source.read_bytes() == content
    assert interpolate(source, target, '--window', 5, '--force') == 0


def test_other_files_are_refused(tmp_path, capsys):
    source = tmp_path / 'resnet.pth'
    torch.save({'layer1.0.conv1.weight': torch.ones(1)}, source)
    assert interpolate(source, tmp_path / 'out.pth', '--window', 12) == 1
    error = capsys.readouterr().err
    assert 'resnet.pth' in error and 'layer1.0.conv1.weight' in error
    assert 'Traceback' not in error
