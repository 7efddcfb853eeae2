"""The command line of swin-dense flops."""

import json
import subprocess
import sys

import pytest

from helpers.command_line import CONFIG, REPOSITORY, run


def test_table_and_json(tmp_path):
    out = tmp_path / 'flops.json'
    done = subprocess.run(
        [
            sys.executable,
            'tools/flops.py',
            'configs/mask_rcnn_swin_t_coco_1x.py',
            '--shape',
            '224',
            '--out',
            str(out),
            '--cfg-options',
            'model.neck.out_channels=256',
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert result['shape'] == [224, 224]
    assert [part['name'] for part in result['parts']] == [
        'backbone',
        'neck',
        'rpn_head',
        'roi_head.bbox_head',
        'roi_head.mask_head',
    ]
    assert result['params'] == 47_794_602
    # Swin-T at 224: 4.49 G in the classification tables, here with four
    # output norms and without a classifier.
    assert abs(result['parts'][0]['flops'] / 1e9 - 4.49) < 0.02
    assert f'{result["flops"] / 1e9:.2f}' in done.stdout


def test_segmentation_is_counted_at_its_test_scale(capsys):
    pytest.importorskip('mmseg', reason='the model is of mmseg')
    config = str(REPOSITORY / 'configs' / 'upernet_swin_t_ade20k.py')
    assert run('flops', config) == 0
    shown = capsys.readouterr().out
    assert f'{config}: 512 x 2048 pixels\n' in shown
    # Hosts may print lines of their own before the table.
    table = shown[shown.index(config) :].splitlines()
    assert [line.split()[0] for line in table[2:6]] == [
        'backbone',
        'decode_head',
        'auxiliary_head',
        'total',
    ]
    assert '944.39' in shown


@pytest.mark.parametrize(
    'shape, size, flops',
    [
        ([], '32 frames of 224 x 224', '87.76'),
        (['--shape', 16, 224, 224], '16 frames of 224 x 224', '43.88'),
        (['--shape', 112], '32 frames of 112 x 112', '22.73'),
    ],
)
def test_clips_are_counted_with_their_frames(capsys, shape, size, flops):
    pytest.importorskip('mmaction', reason='the model is of mmaction2')
    config = str(REPOSITORY / 'configs' / 'video_swin_t_k400.py')
    assert run('flops', config, *shape) == 0
    shown = capsys.readouterr().out
    assert f'{config}: {size} pixels\n' in shown
    assert flops in shown[shown.index('total') :]


@pytest.mark.parametrize(
    'arguments, message',
    [
        (
            ['configs/mask_rcnn_swin_t_koko_1x.py'],
            'does not exist; did you mean',
        ),
        ([CONFIG, '--cfg-options', 'model.nek.x=1'], 'model.nek'),
        ([CONFIG, '--shape', '1', '2', '3'], 'positive height and width'),
    ],
)
def test_errors(tmp_path, capsys, arguments, message):
    out = tmp_path / 'flops.json'
    assert run('flops', *arguments, '--out', out) == 1
    error = capsys.readouterr().err
    assert 'error: ' in error and message in error
    assert 'Traceback' not in error
    assert not out.exists()
