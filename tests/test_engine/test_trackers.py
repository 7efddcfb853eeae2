"""TensorBoard and wandb as further places of the log."""

import json
import struct

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
        'swin_dense.WandbBackend',
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


def read_offline(folder):
    """Return the rows that an offline run of wandb logged, and all records."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.rglob('run-*.wandb')
    content = file.read_bytes()
    # LevelDB's log: after 7 bytes, chunks in blocks of 32 KiB, each of a
    # checksum, its length and its place in the record.
    place, data, records = 7, b'', []
    while place + 7 <= len(content):
        if 2**15 - place % 2**15 < 7:
            place += -place % 2**15
        _, length, kind = struct.unpack_from('<IHB', content, place)
        data += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # the whole record, or its end
            records.append(Record.FromString(data))
            data = b''
    rows = [
        {(i.key or i.nested_key[0]): json.loads(i.value_json) for i in items}
        for items in (r.history.item for r in records)
        if items
    ]
    return rows, {record.WhichOneof('record_type') for record in records}


def test_wandb_offline(tmp_path, monkeypatch):
    pytest.importorskip('wandb')
    monkeypatch.setenv('WANDB_MODE', 'offline')
    monkeypatch.setenv('WANDB_SILENT', 'true')
    cfg = Config(dict(work_dir=str(tmp_path)))
    trackers.add_tracker(cfg, 'wandb')
    run = training.runner(tmp_path, visualizer=cfg.visualizer.to_dict())
    run.train()
    run.visualizer.close()
    rows, kinds = read_offline(tmp_path)
    assert 'artifact' not in kinds  # no code of the user is uploaded
    logged = [row for row in rows if 'loss' in row]
    assert logged[-1]['iteration'] == 20
    assert logged[-1]['loss'] > 0 and 'lr' in logged[-1]


def test_wandb_without_a_login(tmp_path, monkeypatch):
    wandb = pytest.importorskip('wandb')

    def refuse(**kwargs):
        raise wandb.errors.UsageError('No API key configured.')

    monkeypatch.setattr(wandb, 'init', refuse)
    cfg = Config(dict(work_dir=str(tmp_path)))
    trackers.add_tracker(cfg, 'wandb')
    run = training.runner(tmp_path, visualizer=cfg.visualizer.to_dict())
    with pytest.raises(ValueError, match='Log in by `wandb login`, or set'):
        run.train()
