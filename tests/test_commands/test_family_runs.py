"""Every tool works on the quick starts of the other members of the family."""

import json
import math

import pytest

from helpers.command_line import REPOSITORY, run
from swin_dense.checkpoints.files.read import read_checkpoint

# What a log of the training, and an inspection, must say.
MEMBERS = {
    'mask_rcnn_swin_mlp_nano_shapes': ('loss_mask: ', 'mlp', 'SwinMLP'),
    'mask_rcnn_mini_swin_nano_shapes': ('loss_mask: ', 'mini', 'MiniSwin'),
    'mask_rcnn_swin_moe_nano_shapes': ('loss_experts: ', 'moe', 'SwinMoE'),
}
SIZE = 64


def options(folder):
    """Settings for a few images of few pixels."""
    changes = [f'data_root={folder}/shapes', 'train_dataloader.batch_size=2']
    for part in ('train', 'val', 'test'):
        loader = f'{part}_dataloader'
        changes += [
            f'{loader}.num_workers=0',
            f'{loader}.persistent_workers=False',
            f'{loader}.dataset.generate.num_images=4',
            f'{loader}.dataset.generate.image_size={SIZE}',
        ]
        if part != 'train':
            changes.append(
                f'{loader}.dataset.pipeline.1.scale=({SIZE},{SIZE})'
            )
    return [
        '--cfg-options',
        *changes,
        'train_cfg.max_iters=2',
        'train_cfg.val_interval=2',
        'default_hooks.logger.interval=1',
        'default_hooks.checkpoint.interval=2',
        'model.test_cfg.rcnn.score_thr=0.0',
    ]


@pytest.mark.slow
@pytest.mark.parametrize('name', MEMBERS)
def test_tools(name, tmp_path):
    line, family, backbone = MEMBERS[name]
    config = REPOSITORY / 'configs' / f'{name}.py'
    settings = options(tmp_path)
    work, weights = tmp_path / 'work', tmp_path / 'work' / 'iter_2.pth'
    assert run('train', config, '--work-dir', work, *settings) == 0
    (log,) = work.glob('*/*.log')
    text = log.read_text()
    assert 'Iter(train) [2/2]' in text and line in text

    out = tmp_path / 'report.json'
    test = ['test', config, weights, '--work-dir', tmp_path / 'test']
    assert run(*test, '--out', out, *settings) == 0
    metrics = json.loads(out.read_text())['metrics']
    assert all(math.isfinite(value) for value in metrics.values())

    image = next((tmp_path / 'shapes' / 'val2017').iterdir())
    found = tmp_path / 'predictions'
    assert run('predict', config, weights, image, '--out', found) == 0
    assert any(found.iterdir())

    official = tmp_path / 'official.pth'
    assert (
        run('convert_checkpoint', weights, official, '--to', 'official') == 0
    )
    stored = read_checkpoint(weights)['state_dict']
    converted = read_checkpoint(official)['state_dict']
    assert converted.keys() == stored.keys()

    for file in (weights, official):
        info = tmp_path / 'info.json'
        assert run('inspect_checkpoint', file, '--out', info) == 0
        described = json.loads(info.read_text())
        assert described['family'] == family
        assert described['backbone']['type'] == f'swin_dense.{backbone}'

    flops = tmp_path / 'flops.json'
    shape = ['--shape', SIZE, SIZE]
    assert run('flops', config, *shape, '--out', flops) == 0
    parts = json.loads(flops.read_text())
    assert parts['params'] > 0 and parts['flops'] > 0
