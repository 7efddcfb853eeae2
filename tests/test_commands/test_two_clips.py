"""The whole path on real clips: check, train, test, predict."""

import json

import pytest

from helpers.command_line import REPOSITORY, run

pytest.importorskip('mmaction', reason='needs mmaction2')
CONFIG = REPOSITORY / 'configs' / 'video_swin_nano_two_clips.py'


@pytest.mark.slow
def test_two_clips_are_learnt_by_heart(real_data, tmp_path):
    folder = real_data / 'videos'
    (tmp_path / 'list.csv').write_text(
        f'path,label\n{folder}/arm_wrestling.mp4,arm wrestling\n'
        f'{folder}/person_moving.mp4,moving\n'
    )
    data = ['--cfg-options', f'data_root={tmp_path}']
    work = tmp_path / 'work'
    assert run('check_videos', CONFIG, *data) == 0
    assert run('train', CONFIG, '--work-dir', work, '--seed', 0, *data) == 0
    weights = work / 'iter_50.pth'
    assert (
        run(
            'test',
            CONFIG,
            weights,
            '--work-dir',
            work,
            '--out',
            work / 'metrics.json',
            *data,
        )
        == 0
    )
    metrics = json.loads((work / 'metrics.json').read_text())['metrics']
    assert metrics['acc/top1'] == 1.0

    assert (
        run('predict', CONFIG, weights, folder, '--out', work / 'out', *data)
        == 0
    )
    result = json.loads((work / 'out' / 'predictions.json').read_text())
    assert [entry['top'][0]['name'] for entry in result] == [
        'arm wrestling',
        'moving',
    ]
    assert all(len(entry['windows']) > 1 for entry in result)
