"""A training that is killed at random moments loses nothing."""

import os

import pytest
import torch

from helpers.command_line import CONFIG
from helpers.kill_runs import kill_runs


@pytest.mark.skipif(
    torch.cuda.is_available() or not hasattr(os, 'fork'),
    reason='a forked process cannot use CUDA',
)
def test_kills_are_survived(tmp_path):
    lines = []
    options = [
        f'data_root={tmp_path}/shapes',
        'train_cfg.max_iters=12',
        'default_hooks.checkpoint.interval=2',
        'train_dataloader.num_workers=1',
    ]
    survived = kill_runs(CONFIG, 3, tmp_path, options, say=lines.append)
    assert survived == 3
    assert [line.split()[1] for line in lines if 'run' not in line] == [
        'SIGKILL,',
        'SIGTERM,',
        'SIGINT,',
    ]
