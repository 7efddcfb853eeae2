"""Configs are loaded and changed by the command line before a run."""

import re

import pytest
import torch
from mmengine.config import Config

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.engine import launch
from swin_dense.engine.launch import (
    apply_command_line,
    find_checkpoint,
    load_config,
)


@pytest.fixture
def path(tmp_path):
    file = tmp_path / 'my_recipe.py'
    file.write_text(
        "optim_wrapper = dict(type='AmpOptimWrapper', "
        "loss_scale='dynamic')\ntrain_dataloader = "
        'dict(batch_size=2)\n'
    )
    return file


@pytest.fixture
def cfg(path):
    return load_config(path)


def on(monkeypatch, device):
    monkeypatch.setattr(launch, 'get_device', lambda: device)


def test_defaults_that_hosts_leave_to_their_tools(cfg):
    assert cfg.work_dir == 'work_dirs/my_recipe'
    assert cfg.default_scope == 'mmdet'
    assert cfg.runner_type == 'swin_dense.DenseRunner'


def test_a_missing_config_suggests_its_neighbours(path):
    with pytest.raises(FileNotFoundError, match=f'did you mean {path}'):
        load_config(path.with_name('my_recipes.py'))


def test_a_config_nested_too_deeply(tmp_path):
    path = tmp_path / 'deep.json'
    path.write_text('{"a":' * 100_000 + '1' + '}' * 100_000)
    with pytest.raises(ValueError, match='deep.json is nested too deeply'):
        load_config(path)


def test_command_line_wins_over_the_config(cfg, tmp_path):
    cfg.randomness = dict(seed=1, diff_rank_seed=True)
    weights = tmp_path / 'a.pth'
    weights.touch()
    apply_command_line(cfg, work_dir='w', load_from=str(weights), seed=5)
    assert (cfg.work_dir, cfg.load_from) == ('w', str(weights))
    assert cfg.randomness == dict(
        seed=5, diff_rank_seed=True, deterministic=False
    )


def test_resume(cfg, tmp_path):
    apply_command_line(cfg, resume='auto')
    assert cfg.resume is True and cfg.load_from is None
    with pytest.raises(CheckpointError, match='holds no .pth file'):
        apply_command_line(cfg, resume=str(tmp_path / 'b.pth'))


def checkpoint(path, iteration=3):
    meta = {'epoch': 0, 'iter': iteration}
    torch.save({'message_hub': {}, 'meta': meta}, path)
    return str(path)


def test_resuming_comes_before_load_from(cfg, tmp_path):
    weights = checkpoint(tmp_path / 'coco.pth')
    folder = tmp_path / 'work'
    folder.mkdir()
    cfg.load_from = weights
    apply_command_line(cfg, work_dir=folder, resume='auto')
    # There is nothing to resume yet.
    assert (cfg.get('resume', False), cfg.load_from) == (False, weights)
    checkpoint(folder / 'iter_3.pth')
    latest = checkpoint(folder / 'iter_7.pth', 7)
    apply_command_line(cfg, work_dir=folder, resume='auto')
    assert (cfg.resume, cfg.load_from) == (True, latest)


def test_a_path_to_resume_comes_before_load_from(cfg, tmp_path):
    cfg.load_from = checkpoint(tmp_path / 'coco.pth')
    path = checkpoint(tmp_path / 'mine.pth')
    apply_command_line(cfg, resume=path)
    assert (cfg.resume, cfg.load_from) == (True, path)


def test_damaged_checkpoints_are_not_passed_over_for_load_from(cfg, tmp_path):
    cfg.load_from = checkpoint(tmp_path / 'coco.pth')
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work' / 'iter_7.pth').write_bytes(b'PK')
    with pytest.raises(CheckpointError, match='iter_7.pth.*delete them'):
        apply_command_line(cfg, work_dir=tmp_path / 'work', resume='auto')


def test_copying_classes(cfg, tmp_path):
    with pytest.raises(ValueError, match='--cfg-options load_from=FILE'):
        apply_command_line(cfg, copy_classes=True)
    cfg.load_from = checkpoint(tmp_path / 'coco.pth')
    apply_command_line(cfg, copy_classes=True)
    assert cfg.copy_classes is True


def test_amp_where_there_is_a_gpu(cfg, monkeypatch):
    cfg.optim_wrapper = dict(type='OptimWrapper')
    on(monkeypatch, 'cuda')
    apply_command_line(cfg, amp=True)
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert launch._fit_to_machine(cfg) == []
    assert cfg.optim_wrapper.loss_scale == 'dynamic'


def test_float32_where_there_is_no_gpu(cfg, monkeypatch):
    on(monkeypatch, 'cpu')
    (note,) = launch._fit_to_machine(cfg)
    assert 'training in float32' in note
    assert cfg.optim_wrapper == dict(type='OptimWrapper')


def test_scaling_the_learning_rate_needs_a_reference(cfg):
    with pytest.raises(ValueError, match='base_batch_size'):
        apply_command_line(cfg, auto_scale_lr=True)
    cfg.auto_scale_lr = dict(base_batch_size=16)
    cfg.optim_wrapper.accumulative_counts = 2
    with pytest.raises(ValueError, match='accumulative_counts=2'):
        apply_command_line(cfg, auto_scale_lr=True)


@pytest.mark.parametrize(
    'world_size, enable, message',
    [
        (8, False, 'Batch of 16 images .* meant for 16$'),
        (1, False, 'Batch of 2 images .* NOT scaled'),
        (4, True, 'Batch of 8 images .* is scaled by 0.5'),
    ],
)
def test_batch_is_compared_with_the_reference(
    cfg, world_size, enable, message
):
    cfg.auto_scale_lr = dict(base_batch_size=16, enable=enable)
    assert re.search(message, launch._batch_note(cfg, world_size))


def test_configs_without_training_are_fine(monkeypatch):
    on(monkeypatch, 'cpu')
    assert launch._fit_to_machine(Config(dict(model=dict()))) == []


def test_a_checkpoint_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    path = tmp_path / 'a.pth'
    path.touch()
    assert find_checkpoint('~/a.pth') == str(path)
    assert find_checkpoint(f'file://{path}') == str(path)
    with pytest.raises(CheckpointError, match=f'did you mean {path}'):
        find_checkpoint('~/b.pth')


def test_addresses_of_checkpoints():
    address = 'https://example.org/a.pth'
    assert find_checkpoint(address) == address
    with pytest.raises(CheckpointError, match='only paths and addresses'):
        find_checkpoint('s3://bucket/a.pth')
