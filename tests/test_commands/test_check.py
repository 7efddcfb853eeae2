"""swin-dense check: every check of a config, for each task."""

import json
from pathlib import Path

import cv2
import pytest

from helpers.ade import write_ade
from helpers.command_line import CONFIG, error_of, run
from helpers.moving_squares import write_videos
from swin_dense.commands import check_label_maps, check_videos

pytest.importorskip('mmdet')
HELPERS = Path(CONFIG).parent


def status(root, *options, config=CONFIG, only=('data',)):
    """Return the exit status for a config whose data is in a folder."""
    return run(
        'check',
        config,
        '--out',
        f'{root}_report',
        '--only',
        *only,
        '--cfg-options',
        f'data_root={root}',
        *options,
    )


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
    assert 'no problems\n1 check passed\n' in capsys.readouterr().out
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
    assert 'test: problem' not in out and ' 2 problems\n' in out
    assert '1 check failed: data\n' in out


def test_splits_with_other_classes(root, capsys):
    change(root, 'val', lambda c: c['categories'][0].update(name='robot'))
    assert status(root, *EDITED) == 1
    out = capsys.readouterr().out
    assert 'val: problem: ' in out and 'robot' in out
    assert ' 1 problem\n' in out


def test_absent_data(tmp_path, capsys):
    assert (
        run(
            'check',
            'mask_rcnn_swin_t_coco',
            '--out',
            tmp_path / 'report',
            '--only',
            'data',
            'evaluator',
            '--cfg-options',
            f'data_root={tmp_path}/none',
        )
        == 1
    )
    out = capsys.readouterr().out
    assert 'train: problem: no data set' in out
    assert 'val: problem: no data set' in out
    assert 'evaluator' in out and 'needs data' in out


@pytest.mark.parametrize(
    'config, command',
    [
        ('tiny_upernet', check_label_maps),
        ('tiny_video_swin', check_videos),
    ],
)
def test_other_tasks_are_checked_by_their_commands(
    config, command, monkeypatch, tmp_path
):
    seen = []

    def check(args):
        seen.append(args)
        print('  problem: a clip')

    monkeypatch.setattr(command, 'check', check)
    monkeypatch.chdir(tmp_path)
    file = str(HELPERS / f'{config}.py')
    assert status('x', config=file) == 1
    (args,) = seen
    assert args.source == file and args.cfg_options == {'data_root': 'x'}


def test_folders_and_lists_have_their_own_commands(tmp_path, capsys):
    for name in (tmp_path, 'train.txt'):
        error = error_of(capsys, run('check', name))
        assert 'is not a config' in error and 'check-label-maps' in error


def test_a_name_that_is_no_check(tmp_path, capsys):
    error = error_of(capsys, status(tmp_path, only=('evaluater',)))
    assert "there is no check 'evaluater'; did you mean evaluator?" in error


SAFE = ('settings', 'data', 'classes', 'evaluator', 'picture', 'weights')


def report_of(root):
    content = json.loads(Path(f'{root}_report', 'report.json').read_text())
    return content, {check['name']: check for check in content['checks']}


def test_a_detector_passes(root):
    assert status(root, only=SAFE) == 0
    content, checks = report_of(root)
    assert content['passed'] and [*checks] == [*SAFE]
    values = checks['evaluator']['values']
    assert values == {'coco/bbox_mAP': 1.0, 'coco/segm_mAP': 1.0}
    assert 'circle (' in checks['classes']['details'][1]
    picture = cv2.imread(f'{root}_report/batch.png')
    assert picture.shape[0] > 2 * 400 and picture.shape[1] > 3 * 400
    text = Path(f'{root}_report', 'report.txt').read_text()
    assert text.splitlines()[-1] == '6 checks passed'


def test_an_annotation_that_the_evaluator_alone_has_is_named(
    root, monkeypatch
):
    """As if a data set lost one, or gave one another label."""
    from swin_dense.detection import preflight

    original = preflight.image_truth
    seen = []

    def lose(info):
        sample = original(info)
        if len(sample['pred_instances']) and not seen:
            seen.append(info)
            sample['pred_instances'] = sample['pred_instances'][1:]
        return sample

    monkeypatch.setattr(preflight, 'image_truth', lose)
    assert status(root, only=('evaluator',)) == 1
    _, checks = report_of(root)
    first, *_ = checks['evaluator']['details']
    (path,) = root.rglob('*val*.json')
    lost = next(
        ann
        for ann in json.loads(path.read_text())['annotations']
        if ann['image_id'] == seen[0]['img_id']
    )
    assert f'bbox: annotation {lost["id"]} of ' in first
    assert f'(image id {lost["image_id"]})' in first


def test_a_segmentor_passes(tmp_path):
    write_ade(tmp_path / 'ade')
    root = tmp_path / 'ade'
    config = str(HELPERS / 'tiny_upernet.py')
    names = ('settings', 'classes', 'evaluator', 'picture', 'weights')
    assert status(root, config=config, only=names) == 0
    _, checks = report_of(root)
    assert checks['evaluator']['values'] == {'mIoU': 1.0}
    assert 'wall (' in checks['classes']['details'][1]


def test_a_recognizer_passes(tmp_path):
    root = write_videos(tmp_path / 'clips')
    config = str(HELPERS / 'tiny_video_swin.py')
    names = ('settings', 'classes', 'evaluator', 'picture', 'weights')
    assert status(root, config=config, only=names) == 0
    _, checks = report_of(root)
    assert checks['evaluator']['values'] == {'acc/top1': 1.0}
    assert checks['classes']['details'][1:] == [
        '0      right (2)  right (2)',
        '1      left (2)   left (2)',
    ]


def test_heads_of_other_classes_fail(root):
    option = 'model.roi_head.bbox_head.num_classes=4'
    assert status(root, option, only=('weights',)) == 1
    _, checks = report_of(root)
    assert 'num_classes=4' in '\n'.join(checks['weights']['details'])


def test_training_starts_after_the_checks(root, monkeypatch, capsys):
    from swin_dense.commands import train

    wanted = [c for c in train.CHECKS if c.name in ('settings', 'data')]
    monkeypatch.setattr(train, 'CHECKS', wanted)
    arguments = (
        CONFIG,
        '--check',
        '--work-dir',
        f'{root}_work',
        '--cfg-options',
        f'data_root={root}',
    )
    assert run('train', *arguments) == 0
    assert '2 checks passed' in capsys.readouterr().out
    assert Path(f'{root}_work', 'check', 'report.json').is_file()
    assert Path(f'{root}_work', 'iter_2.pth').is_file()
    status_ = run('train', *arguments, 'train_cfg.max_iters=0')
    error = error_of(capsys, status_)
    assert 'the checks before the training failed' in error
