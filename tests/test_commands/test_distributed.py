"""Two processes do what one does on the same images."""

import json
import subprocess

import pytest
import torch

from helpers.command_line import CONFIG, REPOSITORY, launch, run
from swin_dense.checkpoints.files.read import read_checkpoint

# Sums of float32 in another order, over three steps.
TOLERANCE = 1e-5


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh'])
def test_without_arguments_scripts_tell_their_usage(script):
    done = subprocess.run(
        [str(REPOSITORY / 'tools' / script)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert f'tools/{script} CONFIG' in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason='compares CPU processes')
def test_two_processes_match_one(tmp_path):
    """Each of two processes takes every other image; their gradients are
    averaged. One process that averages the gradients of two images in a row
    before each step must end with the same weights: losses are normalised
    per process, so one batch of two would not be the same thing.
    """
    options = ['--seed', 0, '--cfg-options', f'data_root={tmp_path}/shapes']
    assert (
        run(
            'train',
            CONFIG,
            '--work-dir',
            tmp_path / 'one',
            *options,
            'train_cfg.max_iters=6',
            'default_hooks.checkpoint.interval=6',
            'optim_wrapper.accumulative_counts=2',
        )
        == 0
    )
    log = launch(
        'dist_train.sh',
        CONFIG,
        2,
        '--work-dir',
        tmp_path / 'two',
        *options,
        'train_cfg.max_iters=3',
        'default_hooks.checkpoint.interval=3',
    )
    assert 'the processes communicate over gloo' in log
    assert (
        'Batch of 2 images per update (2 processes x 1 image x 1 step)' in log
    )

    first, two = (
        read_checkpoint(tmp_path / name)['state_dict']
        for name in ('one/iter_6.pth', 'two/iter_3.pth')
    )
    torch.testing.assert_close(two, first, rtol=0, atol=TOLERANCE)

    weights = tmp_path / 'one' / 'iter_6.pth'
    metrics = []
    for processes in (1, 2):
        out = tmp_path / f'{processes}.json'
        args = [
            '--work-dir',
            tmp_path / 'test',
            '--out',
            out,
            '--cfg-options',
            f'data_root={tmp_path}/shapes',
        ]
        if processes == 1:
            assert run('test', CONFIG, weights, *args) == 0
        else:
            launch('dist_test.sh', CONFIG, weights, 2, *args)
        metrics.append(json.loads(out.read_text())['metrics'])
    assert metrics[0] == metrics[1]


@pytest.mark.skipif(torch.cuda.is_available(), reason='compares CPU processes')
def test_split_optimizer_state_is_stored_whole(tmp_path):
    """Each process keeps the state of half the parameters; the file has all,
    so that a training without splitting goes on from it to the same end.
    """
    options = [
        '--seed',
        0,
        '--cfg-options',
        f'data_root={tmp_path}/shapes',
        'train_cfg.max_iters=4',
        'default_hooks.checkpoint.interval=2',
    ]
    launch(
        'dist_train.sh',
        CONFIG,
        2,
        '--work-dir',
        tmp_path / 'split',
        *options,
        'optim_wrapper.optimizer.type=ZeroRedundancyOptimizer',
        'optim_wrapper.optimizer.optimizer_type=AdamW',
    )
    launch(
        'dist_train.sh',
        CONFIG,
        2,
        '--work-dir',
        tmp_path / 'whole',
        '--resume',
        tmp_path / 'split' / 'iter_2.pth',
        *options,
        'optim_wrapper.optimizer.type=AdamW',
    )
    split, whole = (
        read_checkpoint(tmp_path / name / 'iter_4.pth')
        for name in ('split', 'whole')
    )
    torch.testing.assert_close(split['state_dict'], whole['state_dict'])
    state = split['optimizer']['state']
    assert len(state) == len(split['optimizer']['param_groups'])
    torch.testing.assert_close(state, whole['optimizer']['state'])
