"""Commands on a GPU: they train in mixed precision, test, predict, measure.

`python -m pytest -m cuda --device cpu` tries these tests without a GPU.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from helpers.ade import write_ade
from helpers.command_line import CONFIG, run
from helpers.moving_squares import write_videos
from swin_dense.checkpoints.files.read import read_checkpoint

HELPERS = Path(CONFIG).parent
# Config, package of its models, and the checkpoint of its training.
TASKS = {
    'detection': ('tiny_mask_rcnn', 'mmdet', 'iter_2.pth'),
    'segmentation': ('tiny_upernet', 'mmseg', 'iter_2.pth'),
    'video': ('tiny_video_swin', 'mmaction', 'epoch_1.pth'),
}


@pytest.fixture
def amp(device):
    """The option for mixed precision, which needs a GPU."""
    return ['--amp'] * device.startswith('cuda')


def prepare(name, root):
    """Write data, and return the config, its data root and an input."""
    config, host, checkpoint = TASKS[name]
    pytest.importorskip(host)
    if name == 'video':
        data = write_videos(root / 'videos')
        source = data / '0.mp4'
    else:
        data = root / 'data'
        if name == 'segmentation':
            write_ade(data)
        source = root / 'image.png'
        pixels = np.random.default_rng(0).integers(0, 255, (40, 56, 3))
        cv2.imwrite(str(source), pixels.astype(np.uint8))
    return HELPERS / f'{config}.py', data, source, checkpoint


@pytest.mark.cuda
@pytest.mark.parametrize('name', TASKS)
def test_train_test_predict(name, tmp_path, device, amp):
    config, data, source, checkpoint = prepare(name, tmp_path)
    options = ['--cfg-options', f'data_root={data}']
    work = tmp_path / 'work'
    arguments = ['--work-dir', work, '--seed', 0, *amp, *options]
    assert run('train', config, *arguments) == 0
    stored = read_checkpoint(work / checkpoint)
    weights = stored['state_dict']
    assert all(
        x.isfinite().all() and x.dtype != torch.float16
        for x in weights.values()
    )
    if device.startswith('cuda'):
        assert torch.cuda.max_memory_allocated() > 0
    resumed = ['--work-dir', tmp_path / 'again', '--resume', work / checkpoint]
    assert run('train', config, *resumed, *amp, *options) == 0

    out = tmp_path / 'metrics.json'
    folder = ['--work-dir', tmp_path / 'test', '--out', out]
    assert run('test', config, work / checkpoint, *folder, *options) == 0
    assert json.loads(out.read_text())['metrics']

    results = tmp_path / 'results'
    arguments = [config, work / checkpoint, source, '--out', results]
    assert run('predict', *arguments, '--device', device) == 0
    assert any(results.iterdir())


@pytest.mark.cuda
def test_train_and_predict_compiled(tmp_path, device, amp):
    torch.compiler.reset()
    config, data, source, checkpoint = prepare('detection', tmp_path)
    work = tmp_path / 'work'
    options = ['--compile', 'eager', '--cfg-options', f'data_root={data}']
    assert run('train', config, '--work-dir', work, *amp, *options) == 0
    results = tmp_path / 'results'
    arguments = [config, work / checkpoint, source, '--out', results]
    compiled = ['--compile', 'eager', '--device', device]
    assert run('predict', *arguments, *compiled) == 0
    assert (results / 'image.png').is_file()


@pytest.mark.cuda
def test_benchmark(tmp_path, device):
    out = tmp_path / 'figures.json'
    options = ['--shape', 64, 96, '--repeats', 1, '--device', device]
    assert run('benchmark', *options, '--out', out) == 0
    figures = json.loads(out.read_text())
    assert all(row['ours'] > 0 for row in figures['rows'])
    assert figures['device'] == device


@pytest.mark.cuda
def test_flops_and_converted_weights(tmp_path, device):
    """What needs no GPU works where there is one."""
    config, data, _, checkpoint = prepare('detection', tmp_path)
    work, out = tmp_path / 'work', tmp_path / 'flops.json'
    options = ['--cfg-options', f'data_root={data}']
    assert run('train', config, '--work-dir', work, *options) == 0
    assert run('flops', config, '--shape', 64, '--out', out) == 0
    assert json.loads(out.read_text())['params'] > 0
    converted = tmp_path / 'official.pth'
    arguments = [work / checkpoint, converted, '--to', 'official']
    assert run('convert_checkpoint', *arguments) == 0
    report = tmp_path / 'report.json'
    assert run('inspect_checkpoint', converted, '--out', report) == 0
    assert json.loads(report.read_text())


@pytest.mark.cuda
def test_features(tmp_path, device):
    config, data, source, checkpoint = prepare('video', tmp_path)
    work, out = tmp_path / 'work', tmp_path / 'features'
    options = ['--cfg-options', f'data_root={data}']
    assert run('train', config, '--work-dir', work, *options) == 0
    arguments = [config, work / checkpoint, source, '--out', out]
    assert run('extract_features', *arguments, '--device', device) == 0
    assert any(out.iterdir())
