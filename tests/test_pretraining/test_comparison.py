"""Trainings from scratch and from a checkpoint, with several seeds."""

import json
import subprocess
from pathlib import Path

import pytest

from swin_dense.engine import cli
from swin_dense.pretraining import comparison


@pytest.fixture
def runs(monkeypatch):
    """Commands of trainings that take no time; AP is their number in %."""
    commands = []

    def train(command, stdout, stderr, env):
        commands.append(command)
        assert int(env['OMP_NUM_THREADS']) >= 1
        folder = Path(command[command.index('--work-dir') + 1])
        log = folder / '2026' / 'vis_data' / 'scalars.json'
        log.parent.mkdir(parents=True)
        ap = len(commands) / 100
        last = {'coco/bbox_mAP': ap, 'coco/segm_mAP': 2 * ap}
        log.write_text(f'{json.dumps(dict(loss=1.0))}\n{json.dumps(last)}')
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(comparison.subprocess, 'run', train)
    return commands


@pytest.fixture
def compare(tmp_path):
    """Return a function that runs the command with some arguments."""
    (tmp_path / 'weights.pth').touch()
    parser = comparison.make_parser(
        'Compare.',
        'example',
        config='mask_rcnn_swin_nano_shapes',
        checkpoint=str(tmp_path / 'weights.pth'),
        work_dir=str(tmp_path / 'runs'),
    )

    def run(*args):
        arguments = parser.parse_args(['--processes', '1', *args])
        return cli.run(comparison.compare, arguments)

    return run


def test_all_runs_once(compare, runs, tmp_path, capsys):
    options = ['--cfg-options', 'train_cfg.max_iters=7']
    assert compare('--seeds', '0', '1', *options) == 0
    printed = capsys.readouterr().out
    assert '| from scratch | 2 | 0.020 | 0.020 | 0.040 | 0.040 |' in printed
    assert '| pretrained | 2 | 0.030 | 0.020 | 0.060 | 0.040 |' in printed
    seeds = [run[run.index('--seed') + 1] for run in runs]
    assert seeds == ['0', '0', '1', '1']
    assert 'train_cfg.max_iters=7' in runs[0]
    weights = tmp_path / 'weights.pth'
    setting = (
        "model.backbone.init_cfg={'type': 'Pretrained', 'checkpoint': "
        f"'{weights}'}}"
    )
    assert [setting in run for run in runs] == [False, True, False, True]
    # What is done is not done again.
    assert compare('--seeds', '1', '2') == 0
    assert len(runs) == 6
    results = json.loads((tmp_path / 'runs' / 'results.json').read_text())
    assert len(results) == 6


def test_the_settings_can_be_given_to_the_command(compare, runs):
    """Options are written as the command line reads them."""
    compare('--seeds', '0', '--cfg-options', 'default_scope=mmdet')
    words = runs[1][runs[1].index('--cfg-options') + 1 :]
    parser = cli.make_parser('', '')
    cli.add_config_arguments(parser)
    options = parser.parse_args(['--cfg-options', *words]).cfg_options
    assert options['default_scope'] == 'mmdet'
    assert options['model.backbone.init_cfg']['type'] == 'Pretrained'


def test_a_failed_training_stops_it(compare, monkeypatch, capsys):
    monkeypatch.setattr(
        comparison.subprocess,
        'run',
        lambda command, **_: subprocess.CompletedProcess(command, 3),
    )
    assert compare() == 1
    error = capsys.readouterr().err
    assert 'ended with status 3' in error and 'output.txt' in error


def test_an_absent_checkpoint_is_found_first(compare, runs, capsys):
    assert compare('--checkpoint', 'absent.pth') == 1
    assert 'checkpoint absent.pth does not exist' in capsys.readouterr().err
    assert not runs
    assert compare('--processes', '0') == 1
