"""Two runs in one work folder: one trains, others leave it alone."""

import hashlib

import pytest
from mmdet.visualization import DetLocalVisualizer

from helpers.command_line import CONFIG, run
from swin_dense.engine import runner as runner_module
from swin_dense.engine.launch import (
    apply_command_line,
    build_runner,
    load_config,
)
from swin_dense.engine.work_dir_lock import WorkDirInUseError, hold_work_dir


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Data and the work folder of a short training."""
    root = tmp_path_factory.mktemp('runs')
    options = ['--cfg-options', f'data_root={root}/data']
    assert run('train', CONFIG, '--work-dir', root / 'work', *options) == 0
    return root / 'work', options


def state(folder):
    """Digest of each file below a folder."""
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob('*')
        if path.is_file()
    }


@pytest.mark.parametrize('resume', [[], ['--resume']])
def test_a_second_training_is_refused(trained, capsys, resume):
    folder, options = trained
    with hold_work_dir(folder):
        before = state(folder)
        assert (
            run('train', CONFIG, '--work-dir', folder, *resume, *options) == 1
        )
        assert state(folder) == before
    error = capsys.readouterr().err
    assert f'error: {folder} is in use: a training runs there' in error
    assert 'Traceback' not in error


def test_runners_refuse_it_too(trained, tmp_path):
    """Without the command line, and when both start at once."""
    folder, options = trained
    cfg = load_config(CONFIG, {'data_root': options[1].partition('=')[2]})
    apply_command_line(cfg, work_dir=tmp_path)
    (tmp_path / 'tiny_mask_rcnn.py').write_text('of the other')
    second = build_runner(cfg)
    with hold_work_dir(tmp_path):
        with pytest.raises(WorkDirInUseError):
            second.train()
    assert (tmp_path / 'tiny_mask_rcnn.py').read_text() == 'of the other'
    assert second._lock is None


def test_a_test_beside_a_training_leaves_its_files_alone(trained):
    folder, options = trained
    before = state(folder)
    # A process of its own would have no writer of logs yet.
    DetLocalVisualizer._instance_dict.clear()
    with hold_work_dir(folder):
        assert (
            run(
                'test',
                CONFIG,
                folder / 'iter_2.pth',
                '--work-dir',
                folder,
                *options,
            )
            == 0
        )
    after = state(folder)
    assert {path: after.get(path) for path in before} == before
    # Its own log has a folder of its own.
    places = {path.relative_to(folder).parts[0] for path in after}
    new = {
        path.relative_to(folder).parts[0]
        for path in after.keys() - before.keys()
    }
    assert new == {max(place for place in places if place.startswith('20'))}


def test_logs_of_runs_that_start_in_one_second(tmp_path, monkeypatch):
    cfg = load_config(CONFIG)
    apply_command_line(cfg, work_dir=tmp_path)
    setup = runner_module.Runner.setup_env

    def now(self, env_cfg):
        setup(self, env_cfg)
        self._timestamp = '20300101_000000'

    monkeypatch.setattr(runner_module.Runner, 'setup_env', now)
    for _ in range(2):
        build_runner(cfg.copy())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        '20300101_000000',
        '20300101_000000_2',
    ]


def test_the_config_is_kept_when_the_training_starts(trained):
    folder, _ = trained
    kept = load_config(folder / 'tiny_mask_rcnn.py')
    assert kept.train_cfg.max_iters == 2
    assert not list(folder.glob('.*'))
