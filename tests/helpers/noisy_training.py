"""A small training that draws random numbers wherever one can.

    python noisy_training.py WORK_DIR RANK PORT STOP

trains in one of two processes, up to iteration STOP.
"""

import os
import random
import sys
from pathlib import Path

import numpy as np
import torch
from mmengine.hooks import Hook
from torch import nn

if __name__ == '__main__':
    sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers import training
from helpers.saved_runs import EMA


class Interrupted(Exception):
    """Stands for a signal."""


class NoisyPoints(training.Points):
    """Points with noise from three generators; it keeps what was read."""

    def __init__(self):
        super().__init__()
        self.read = []

    def __getitem__(self, index):
        self.read.append(index)
        point, target = super().__getitem__(index)
        noise = random.random() + np.random.rand() + torch.rand(())
        return point + 0.1 * noise.float(), target


class NoisyLine(training.Line):
    """A network with dropout."""

    def __init__(self):
        super().__init__()
        self.layers.insert(3, nn.Dropout(0.3))

    def forward(self, points, targets, mode='loss'):
        points = points + 0.01 * np.random.rand()
        return super().forward(points, targets, mode)


class Stop(Hook):
    """Interrupts the training at a stage of an iteration."""

    priority = 'LOWEST'

    def __init__(self, step, stage):
        self.step = step
        setattr(self, stage, self.stop)

    def stop(self, runner, *args, **kwargs):
        if runner.iter == self.step:
            raise Interrupted


def runner(folder, kind='iterations', workers=0, stop=None, **kwargs):
    """Return a runner of 20 steps, a checkpoint every 5.

    `kind` is 'iterations', 'passes' (a sampler that ends) or 'epochs' (the
    data set has 4 batches); `stop` is an iteration and a stage of hooks.
    """
    loop = dict(type='IterBasedTrainLoop', max_iters=20)
    sampler = dict(type='InfiniteSampler', shuffle=True)
    if kind != 'iterations':
        sampler = dict(type='DefaultSampler', shuffle=True)
    if kind == 'epochs':
        loop = dict(type='EpochBasedTrainLoop', max_epochs=5)
    hooks = [*EMA, *([Stop(*stop)] if stop else [])]
    torch.manual_seed(3)
    return training.runner(
        folder,
        **{
            'model': NoisyLine(),
            'train_cfg': loop,
            'train_dataloader': dict(
                dataset=NoisyPoints(),
                batch_size=8,
                num_workers=workers,
                collate_fn=dict(type='default_collate'),
                sampler=sampler,
            ),
            'custom_hooks': hooks,
            'checkpoint': dict(max_keep_ckpts=-1),
            **kwargs,
        },
    )


def run_process(folder, rank, port, stop):
    """Train in one of two processes, and be interrupted at an iteration."""
    torch.set_num_threads(1)
    os.environ.update(
        MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port), LOCAL_RANK=str(rank)
    )
    torch.distributed.init_process_group('gloo', rank=rank, world_size=2)
    wrapper = dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        device_ids=None,
    )
    run = runner(
        folder,
        stop=(stop, 'before_train_iter'),
        resume=True,
        launcher='pytorch',
        cfg=dict(model_wrapper_cfg=wrapper),
    )
    try:
        run.train()
    except Interrupted:
        pass
    torch.distributed.destroy_process_group()


if __name__ == '__main__':
    run_process(sys.argv[1], *map(int, sys.argv[2:]))
