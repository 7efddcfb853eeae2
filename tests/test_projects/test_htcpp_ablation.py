"""The comparison runs every variant once and tells mean and spread."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import DictAction

from swin_dense.engine.launch import load_config

PROJECT = Path(__file__).resolve().parents[2] / 'projects' / 'htcpp_ablation'


@pytest.fixture
def ablation(monkeypatch):
    monkeypatch.syspath_prepend(str(PROJECT))
    return importlib.import_module('ablation')


@pytest.fixture
def runs(ablation, monkeypatch):
    """Commands of trainings that take no time; AP is their number in %."""
    commands = []

    def train(command):
        commands.append(command)
        folder = Path(command[command.index('--work-dir') + 1])
        log = folder / '2026' / 'vis_data' / 'scalars.json'
        log.parent.mkdir(parents=True)
        ap = len(commands) / 100
        lines = [
            dict(loss=1.0, time=0.5),
            dict(loss=0.5, time=1.5),
            {'coco/bbox_mAP': ap, 'coco/segm_mAP': 2 * ap, 'time': 9.0},
        ]
        rows = [dict(line, step=100) for line in lines]
        log.write_text('\n'.join(map(json.dumps, rows)))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(ablation.subprocess, 'run', train)
    return commands


def test_table_of_two_variants(ablation, runs, tmp_path, capsys):
    out = tmp_path / 'results.json'
    arguments = [
        '--only',
        'cascade',
        'htcpp',
        '--seeds',
        '0',
        '1',
        '--iters',
        '100',
        '--work-dir',
        str(tmp_path),
        '--out',
        str(out),
    ]
    assert ablation.main(arguments) == 0
    assert [Path(run[2]).stem for run in runs] == [
        'cascade_nano_shapes_stuff',
        'htcpp_swin_nano_shapes',
    ] * 2
    assert [run[run.index('--seed') + 1] for run in runs] == list('0011')
    printed = capsys.readouterr().out
    assert '| cascade | 2 | 0.020 | 0.020 | 0.040 | 0.040 | 1.00 |' in printed
    assert '| htcpp | 2 | 0.030 | 0.020 | 0.060 | 0.040 | 1.00 |' in printed
    # What is done is not done again; what is new is.
    assert ablation.main([*arguments, '--seeds', '0', '2']) == 0
    assert len(runs) == 6 and len(json.loads(out.read_text())) == 6


def test_a_failed_training_stops_it(ablation, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(
        ablation.subprocess,
        'run',
        lambda command: subprocess.CompletedProcess(command, 3),
    )
    assert (
        ablation.main(
            [
                '--work-dir',
                str(tmp_path),
                '--out',
                str(tmp_path / 'results.json'),
            ]
        )
        == 1
    )
    assert 'cascade, seed 0: tools/train.py ended with 3' in (
        capsys.readouterr().err
    )


def test_no_training_below_the_warm_up(ablation, capsys, tmp_path):
    assert (
        ablation.main(
            ['--iters', '60', '--out', str(tmp_path / 'results.json')]
        )
        == 1
    )
    assert '--iters 60 must exceed the warm-up of 60' in (
        capsys.readouterr().err
    )


def test_variants_change_what_they_say(ablation, runs, tmp_path):
    """Both configs accept all options, and differ in nothing else."""
    ablation.main(
        [
            '--seeds',
            '0',
            '--iters',
            '100',
            '--work-dir',
            str(tmp_path),
            '--out',
            str(tmp_path / 'results.json'),
        ]
    )
    assert len(runs) == len(ablation.VARIANTS)
    configs = []
    for run in runs:
        options = dict(
            option.split('=', 1)
            for option in run[run.index('--cfg-options') + 1 :]
        )
        configs.append(
            load_config(
                run[2],
                {
                    key: DictAction._parse_iterable(value)
                    for key, value in options.items()
                },
            )
        )
    cascade, full, *without = configs
    assert cascade.model.type == 'CascadeRCNN'
    assert full.model.type == 'HybridTaskCascade'
    for config in configs:
        assert config.train_cfg.max_iters == 100
        assert config.train_cfg.val_interval == 100
        assert config.param_scheduler[1].T_max == 40
        assert config.optim_wrapper == full.optim_wrapper
        data = config.train_dataloader
        assert data.batch_size == 4
        assert data.dataset.data_root == 'data/shapes_stuff/'
        assert data.dataset.generate == full.train_dataloader.dataset.generate
        assert config.test_dataloader == full.test_dataloader
    assert cascade.train_dataloader.dataset.data_prefix.seg is None
    assert [
        step.type for step in cascade.train_dataloader.dataset.pipeline
    ] == [
        'LoadImageFromFile',
        'LoadAnnotations',
        'RandomFlip',
        'PackDetInputs',
    ]
    assert not cascade.train_dataloader.dataset.pipeline[1].with_seg
    for config in without:
        assert (config.model, config.train_dataloader) != (
            full.model,
            full.train_dataloader,
        )


def test_costs_add_up(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(PROJECT))
    cost = importlib.import_module('cost')
    config = PROJECT.parents[1] / 'configs' / 'htcpp_swin_nano_shapes.py'
    out = tmp_path / 'cost.json'
    monkeypatch.setattr(cost, 'PROPOSALS', 20)
    monkeypatch.setattr(cost, 'MASKS', 5)
    monkeypatch.setattr(cost, 'CANDIDATES', 60)
    assert (
        cost.main(
            [
                str(config),
                '--shape',
                '64',
                '64',
                '--repeats',
                '1',
                '--out',
                str(out),
            ]
        )
        == 0
    )
    result = json.loads(out.read_text())
    rows = {row['name']: row for row in result['ingredients']}
    channels = 128
    assert rows['global attention']['params'] == 12 * channels**2 + (
        13 * channels
    )
    tokens = 4 * 4
    assert rows['global attention']['flops'] == tokens * channels * (
        12 * channels + 2 * tokens
    )
    assert rows['mask information flow']['params'] == 2 * (64 * 64 + 64)
    assert rows['mask information flow']['flops'] == (
        2 * 5 * 14 * 14 * 64 * 64
    )
    assert all(row['seconds'] >= 0 for row in rows.values())
    assert sys.modules.pop('cost') and torch.is_grad_enabled()
