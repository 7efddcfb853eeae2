"""Several trainings with several seeds; pretraining before them."""

import json
import subprocess
from pathlib import Path

import pytest

from swin_dense.engine import cli, compare_trainings
from swin_dense.engine.compare_trainings import Variant
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
        last = {
            f'{net}coco/{metric}_mAP': scale * ap
            for net in ('', 'student/')
            for scale, metric in ((1, 'bbox'), (2, 'segm'))
        }
        last['step'] = 700
        log.write_text(f'{json.dumps(dict(loss=1.0))}\n{json.dumps(last)}')
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(compare_trainings.subprocess, 'run', train)
    return commands


@pytest.fixture
def compare(tmp_path):
    """Return a function that runs the command with some arguments."""
    (tmp_path / 'weights.pth').touch()
    parser = compare_trainings.make_parser(
        'Compare.', 'example', work_dir=str(tmp_path / 'runs')
    )
    comparison.add_pretraining_arguments(
        parser, config='mask_rcnn_swin_nano_shapes', pretraining='absent.py'
    )
    weights = str(tmp_path / 'weights.pth')

    def run(*args, checkpoint=weights):
        chosen = ['--checkpoint', checkpoint] if checkpoint else []
        arguments = parser.parse_args(['--processes', '1', *chosen, *args])
        return cli.run(comparison.compare_pretraining, arguments)

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
        "model.backbone.init_cfg={'_delete_': True, 'type': 'Pretrained', "
        f"'checkpoint': '{weights}'}}"
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
        compare_trainings.subprocess,
        'run',
        lambda command, **_: subprocess.CompletedProcess(command, 3),
    )
    assert compare() == 1
    error = capsys.readouterr().err
    assert 'ended with status 3' in error and 'output.txt' in error


def test_an_absent_checkpoint_is_found_first(compare, runs, capsys):
    assert compare(checkpoint='absent.pth') == 1
    assert 'checkpoint absent.pth does not exist' in capsys.readouterr().err
    assert not runs
    assert compare('--processes', '0') == 1


def test_a_pretraining_runs_unless_its_checkpoint_exists(
    compare, runs, tmp_path
):
    work_dir = tmp_path / 'pretraining'
    config = tmp_path / 'pretraining.py'
    config.write_text(
        f'work_dir = {str(work_dir)!r}\ntrain_cfg = dict(max_iters=3)\n'
    )
    arguments = ['--pretraining', str(config), '--seeds', '0']
    assert compare(*arguments, checkpoint=None) == 0
    assert len(runs) == 3
    assert runs[0][4] == str(config)
    assert runs[0][-3:] == ['--work-dir', str(work_dir), '--resume']
    checkpoint = str(work_dir / 'iter_3.pth')
    assert checkpoint in runs[2][-1]
    Path(checkpoint).touch()
    arguments[-1] = '1'
    assert compare(*arguments, checkpoint=None) == 0
    assert len(runs) == 5
    assert checkpoint in runs[4][-1]


def test_mistakes_are_found_before_the_pretraining(compare, runs, capsys):
    assert compare('--config', 'no_config', checkpoint=None) == 1
    assert 'config no_config does not exist' in capsys.readouterr().err
    assert compare('--processes', '0', checkpoint=None) == 1
    assert '--processes 0 must be 1 or more' in capsys.readouterr().err
    assert not runs


def test_a_training_with_two_nets_has_two_rows(runs, tmp_path, capsys):
    variants = [
        Variant('both', 'mask_rcnn_swin_nano_shapes', nets=('student',)),
        Variant('one', 'mask_rcnn_swin_nano_shapes', {'seed': 3}),
    ]
    parser = compare_trainings.make_parser('', '', work_dir=str(tmp_path))
    arguments = ['--processes', '1', '--seeds', '0', '4']
    args = parser.parse_args(arguments)
    assert compare_trainings.compare(variants, args) == 0
    printed = capsys.readouterr().out
    assert '| both, student | 2 | 0.020 | 0.020 | 0.040 | 0.040 |' in printed
    assert '| one | 2 | 0.030 | 0.020 | 0.060 | 0.040 |' in printed
    assert runs[1][-1] == 'seed=3'
    absent = [Variant('absent', 'mask_rcnn_swin_nano_shapes', nets=('no',))]
    with pytest.raises(OSError, match='ends without no/coco/bbox_mAP, no/'):
        compare_trainings.compare(absent, args)
