"""A quick start of every kind trains, evaluates and predicts.

`make test-newest` runs this with the newest releases of everything. Steps are
few; model, data pipelines, worker processes and metrics are the recipe's.
"""

import json
import math
import re

import pytest

from helpers.command_line import REPOSITORY, run

STEPS = 4
# What a training of a kind must log, and a test report.
DETECTION = ('coco/bbox_mAP', 'coco/segm_mAP')
KINDS = {
    'mask_rcnn_swin_nano_shapes': ('loss_mask', DETECTION),
    'cascade_swin_nano_shapes': ('s2.loss_mask', DETECTION),
    'htcpp_swin_nano_shapes': ('loss_semantic_seg', DETECTION),
    'upernet_swin_nano_shapes': ('decode.loss_ce', ('mIoU', 'aAcc')),
    'video_swin_nano_shapes': ('loss_cls', ('acc/top1', 'acc/mean1')),
}


@pytest.mark.slow
@pytest.mark.parametrize('name', KINDS)
def test_kind(name, tmp_path):
    part, metrics = KINDS[name]
    config = REPOSITORY / 'configs' / f'{name}.py'
    count = 'num_clips' if name.startswith('video') else 'num_images'
    options = [
        '--cfg-options',
        f'data_root={tmp_path}/data',
        f'train_dataloader.dataset.generate.{count}=8',
        'train_dataloader.batch_size=2',
        f'val_dataloader.dataset.generate.{count}=4',
        f'test_dataloader.dataset.generate.{count}=4',
        f'train_cfg.max_iters={STEPS}',
        f'train_cfg.val_interval={STEPS}',
        'default_hooks.logger.interval=1',
        f'default_hooks.checkpoint.interval={STEPS}',
    ]
    work = tmp_path / 'work'
    if metrics is DETECTION:  # so short a training finds nothing for sure
        options.append('model.test_cfg.rcnn.score_thr=0.0')
    assert run('train', config, '--work-dir', work, *options) == 0
    (log,) = work.glob('*/*.log')
    steps = [
        dict(re.findall(r'([\w.]+): ([\d.]+|nan|inf)', line))
        for line in log.read_text().splitlines()
        if 'Iter(train) [' in line
    ]
    assert len(steps) == STEPS
    for step in steps:
        assert math.isfinite(float(step['loss'])), step
        assert float(step[part]) > 0, step

    report = tmp_path / 'report.json'
    weights = work / f'iter_{STEPS}.pth'
    assert (
        run(
            'test',
            config,
            weights,
            '--work-dir',
            tmp_path / 'test',
            '--out',
            report,
            *options,
        )
        == 0
    )
    result = json.loads(report.read_text())['metrics']
    assert set(metrics) <= set(result)
    assert all(math.isfinite(value) for value in result.values()), result
