"""TensorBoard and wandb as further places of the log."""

import pytest
from mmengine.config import Config

from helpers import training
from swin_dense.engine import trackers


def backends(cfg):
    return [each['type'] for each in cfg.visualizer.vis_backends]


def test_a_tracker_is_added_once(monkeypatch):
    monkeypatch.setattr(trackers, 'find_spec', lambda name: True)
    cfg = Config(dict(work_dir='work_dirs/mine'))
    for _ in range(2):
        trackers.add_tracker(cfg, 'tensorboard')
        trackers.add_tracker(cfg, 'wandb')
    assert backends(cfg) == [
        'LocalVisBackend',
        'TensorboardVisBackend',
        'WandbVisBackend',
    ]
    assert cfg.visualizer.vis_backends[2].init_kwargs == dict(
        project='swin_dense', name='mine'
    )


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(trackers, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match='--wandb needs the package wandb: '):
        trackers.add_tracker(Config(dict(work_dir='x')), 'wandb')


def test_tensorboard_reads_what_is_written(tmp_path):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing import event_accumulator

    cfg = Config(dict(work_dir=str(tmp_path)))
    trackers.add_tracker(cfg, 'tensorboard')
    run = training.runner(tmp_path, visualizer=cfg.visualizer.to_dict())
    run.train()
    (file,) = tmp_path.rglob('events.out.*')
    events = event_accumulator.EventAccumulator(str(file))
    events.Reload()
    assert [event.step for event in events.Scalars('loss')][-1] == 20
