"""swin-dense check: all data sets of a config, for each task."""

import json
from pathlib import Path

import pytest

from helpers.command_line import CONFIG, error_of, run
from swin_dense.commands import check_label_maps, check_videos

pytest.importorskip('mmdet')
HELPERS = Path(CONFIG).parent


def status(root, *options, config=CONFIG):
    """Return the exit status for a config whose data is in a folder."""
    return run('check', config, '--cfg-options', f'data_root={root}', *options)


def change(root, split, edit):
    """Edit the annotation file of a split."""
    (path,) = root.rglob(f'*{split}*.json')
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def root(tmp_path, capsys):
    """Return a folder with generated data that passes the check."""
    assert status(tmp_path / 'shapes') == 0
    assert capsys.readouterr().out.endswith('no problems\n')
    return tmp_path / 'shapes'


# Read the files as they are; edited ones would be generated again.
EDITED = (
    'train_dataloader.dataset.generate=None',
    'val_dataloader.dataset.generate=None',
    'test_dataloader.dataset.generate=None',
)


def test_every_split_of_a_detector_is_checked(root, capsys):
    def repeat(content):
        content['annotations'][1]['id'] = content['annotations'][0]['id']

    for split in ('train', 'val'):
        change(root, split, repeat)
    assert status(root, *EDITED) == 1
    out = capsys.readouterr().out
    assert 'train: problem: ' in out and 'val: problem: ' in out
    # The test split is that of the validation.
    assert 'test: problem' not in out and out.endswith('2 problems\n')


def test_splits_with_other_classes(root, capsys):
    change(root, 'val', lambda c: c['categories'][0].update(name='robot'))
    assert status(root, *EDITED) == 1
    out = capsys.readouterr().out
    assert 'val: problem: ' in out and 'robot' in out
    assert out.endswith('1 problem\n')


def test_absent_data(tmp_path, capsys):
    assert (
        run(
            'check',
            'mask_rcnn_swin_t_coco',
            '--cfg-options',
            f'data_root={tmp_path}/none',
        )
        == 1
    )
    out = capsys.readouterr().out
    assert 'train: problem: no data set' in out
    assert 'val: problem: no data set' in out


@pytest.mark.parametrize(
    'config, command',
    [
        ('tiny_upernet', check_label_maps),
        ('tiny_video_swin', check_videos),
    ],
)
def test_other_tasks_are_checked_by_their_commands(
    config, command, monkeypatch
):
    seen = []
    monkeypatch.setattr(command, 'check', lambda args: seen.append(args) or 1)
    file = str(HELPERS / f'{config}.py')
    assert status('x', config=file) == 1
    (args,) = seen
    assert args.source == file and args.cfg_options == {'data_root': 'x'}


def test_folders_and_lists_have_their_own_commands(tmp_path, capsys):
    for name in (tmp_path, 'train.txt'):
        error = error_of(capsys, run('check', name))
        assert 'is not a config' in error and 'check-label-maps' in error
