"""A training run small enough for tests; also a script to be killed.

    python training.py WORK_DIR SAVE_TO_STOP_IN

trains 20 steps with a checkpoint every 5, and stops half-way through writing
checkpoint file number SAVE_TO_STOP_IN, after creating WORK_DIR/writing.
"""

import sys
import time
from pathlib import Path

import torch
from mmengine.fileio import LocalBackend
from mmengine.model import BaseModel
from torch import nn
from torch.utils.data import Dataset

from swin_dense.engine.runner import DenseRunner

CLASSES = ('circle', 'square', 'triangle')


class Points(Dataset):
    """Points and a function of them, always the same."""

    metainfo = dict(classes=CLASSES)

    def __init__(self, classes=CLASSES):
        self.metainfo = dict(classes=classes)
        generator = torch.Generator().manual_seed(0)
        self.points = torch.randn(32, 4, generator=generator)

    def __len__(self):
        return len(self.points)

    def __getitem__(self, index):
        return self.points[index], self.points[index].sum().sin()


class Line(BaseModel):
    """A small network with a norm."""

    def __init__(self, width=8):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, width),
            nn.BatchNorm1d(width),
            nn.GELU(),
            nn.Linear(width, 1),
        )

    def forward(self, points, targets, mode='loss'):
        out = self.layers(points)[:, 0]
        return dict(loss=((out - targets) ** 2).mean())


def runner(work_dir, steps=20, width=8, classes=CLASSES, **kwargs):
    """Return a CPU runner that saves every 5 steps and keeps one file."""
    checkpoint = dict(
        type='CheckpointHook', by_epoch=False, interval=5, max_keep_ckpts=1
    )
    checkpoint.update(kwargs.pop('checkpoint', {}))
    torch.manual_seed(1)
    arguments = dict(
        train_dataloader=dict(
            dataset=Points(classes),
            batch_size=8,
            num_workers=0,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='InfiniteSampler', shuffle=True, seed=3),
        ),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=steps),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.01)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=8),
            dict(type='MultiStepLR', milestones=[9, 14], by_epoch=False),
            dict(
                type='OneCycleLR', eta_max=0.02, total_steps=20, by_epoch=False
            ),
        ],
        default_hooks=dict(checkpoint=checkpoint),
        default_scope='mmengine',
        log_level='WARNING',
    )
    arguments['model'] = Line(width)
    return DenseRunner(work_dir=str(work_dir), **{**arguments, **kwargs})


def stop_in(work_dir, number):
    """Interrupt the given write of a checkpoint."""
    put = LocalBackend.put
    writes = []

    def put_half(self, content, path):
        writes.append(path)
        if len(writes) < number:
            return put(self, content, path)
        with open(path, 'wb') as file:
            file.write(content[: len(content) // 2])
            file.flush()
            Path(work_dir, 'writing').touch()
            time.sleep(600)

    LocalBackend.put = put_half


if __name__ == '__main__':
    stop_in(sys.argv[1], int(sys.argv[2]))
    runner(sys.argv[1]).train()
