"""The demonstration of video: draws clips, trains, tests, draws a sheet."""

import json

import cv2
import pytest

from helpers.command_line import REPOSITORY, run

pytest.importorskip('mmaction', reason='needs mmaction2')
pytest.importorskip('av', reason='clips are written by PyAV')
CONFIG = REPOSITORY / 'configs' / 'video_swin_nano_shapes.py'


def test_demo_of_video(tmp_path, capsys):
    data = tmp_path / 'data'
    loaders = ('train_dataloader', 'val_dataloader', 'test_dataloader')
    options = [
        f'{loader}.{setting}'
        for loader in loaders
        for setting in (
            'dataset.generate.num_clips=9',
            'num_workers=0',
            'persistent_workers=False',
        )
    ]
    assert (
        run(
            'demo',
            '--config',
            CONFIG,
            '--work-dir',
            tmp_path / 'work',
            '--processes',
            1,
            '--cfg-options',
            f'data_root={data}',
            'train_cfg.max_iters=2',
            'train_cfg.val_interval=2',
            *options,
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert '  top1         0.' in printed
    metrics = json.loads((tmp_path / 'work' / 'metrics.json').read_text())
    assert 0 <= metrics['acc/top1'] <= 1
    sheet = cv2.imread(str(tmp_path / 'work' / 'contact_sheet.png'))
    assert sheet.shape[0] == 8 * (96 + 4) and sheet.shape[1] > 6 * 100
    assert len([*(data / 'train').glob('*.mp4')]) == 9
    # A second look uses what is there.
    assert (
        run(
            'check_videos',
            CONFIG,
            '--cfg-options',
            f'data_root={data}',
            *options,
        )
        == 0
    )
    assert 'train:\n  clips     9, usable 9' in capsys.readouterr().out
