"""Train, resume, test, predict and demo, as a user would."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pycocotools.coco import COCO

from helpers.command_line import CONFIG, run
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.detection.predictor import DetectionPredictor


@pytest.fixture(scope='module')
def workspace(tmp_path_factory) -> Path:
    """A folder with a training of two iterations and its data."""
    root = tmp_path_factory.mktemp('workspace')
    assert (
        run(
            'train',
            CONFIG,
            '--work-dir',
            root / 'work',
            '--seed',
            0,
            '--cfg-options',
            f'data_root={root}/shapes',
        )
        == 0
    )
    return root


@pytest.fixture
def data(workspace) -> str:
    return f'data_root={workspace}/shapes'


@pytest.fixture
def checkpoint(workspace) -> Path:
    return workspace / 'work' / 'iter_2.pth'


def log_of(work_dir: Path) -> str:
    return '\n'.join(
        file.read_text() for file in sorted(work_dir.glob('*/*.log'))
    )


def test_training_leaves_weights_log_and_config(workspace, checkpoint):
    stored = read_checkpoint(checkpoint)
    assert stored['meta']['iter'] == 2
    assert stored['meta']['seed'] == 0
    log = log_of(workspace / 'work')
    assert 'Iter(train) [2/2]' in log and 'eta: ' in log
    assert 'learning rate is meant for 4 and is NOT scaled' in log
    assert 'paramwise_options' in log  # the console leaves them out
    assert (workspace / 'work' / Path(CONFIG).name).is_file()


@pytest.mark.parametrize('how', ['auto', 'path'])
def test_resume_goes_on_as_if_never_interrupted(
    workspace, checkpoint, data, tmp_path, how
):
    straight = [
        '--seed',
        0,
        '--cfg-options',
        data,
        'train_cfg.max_iters=4',
        'train_dataloader.sampler.shuffle=False',
    ]
    assert run('train', CONFIG, '--work-dir', tmp_path / 'a', *straight) == 0
    work = tmp_path / 'b'
    if how == 'auto':
        work.mkdir()
        os.link(checkpoint, work / 'iter_2.pth')
        (work / 'last_checkpoint').write_text(str(work / 'iter_2.pth'))
    resume = ['--resume'] if how == 'auto' else ['--resume', checkpoint]
    assert run('train', CONFIG, '--work-dir', work, *resume, *straight) == 0
    expected, result = (
        read_checkpoint(folder / 'iter_4.pth')['state_dict']
        for folder in (tmp_path / 'a', work)
    )
    assert 'Iter(train) [3/4]' in log_of(work)
    assert 'Iter(train) [1/4]' not in log_of(work)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-6)


def test_resume_without_a_checkpoint_starts_afresh(data, tmp_path):
    assert (
        run(
            'train',
            CONFIG,
            '--resume',
            '--work-dir',
            tmp_path,
            '--cfg-options',
            data,
            'train_cfg.max_iters=1',
        )
        == 0
    )
    assert 'Iter(train) [1/1]' in log_of(tmp_path)


def test_learning_rate_follows_the_batch(data, tmp_path):
    assert (
        run(
            'train',
            CONFIG,
            '--auto-scale-lr',
            '--work-dir',
            tmp_path,
            '--cfg-options',
            data,
            'train_cfg.max_iters=1',
            'train_dataloader.batch_size=2',
        )
        == 0
    )
    assert 'meant for 4 and is scaled by 0.5' in log_of(tmp_path)
    assert 'lr: 5.0000e-03' in log_of(tmp_path)


def test_test_writes_metrics(checkpoint, data, tmp_path, capsys):
    out = tmp_path / 'metrics.json'
    assert (
        run(
            'test',
            CONFIG,
            checkpoint,
            '--work-dir',
            tmp_path,
            '--out',
            out,
            '--show-dir',
            tmp_path / 'shown',
            '--cfg-options',
            data,
        )
        == 0
    )
    pictures = sorted((tmp_path / 'shown').iterdir())
    assert len(pictures) == 4
    assert cv2.imread(str(pictures[0])).shape[1] > 2 * 640  # a pair
    report = json.loads(out.read_text())
    assert report['checkpoint'] == str(checkpoint)
    metrics = report['metrics']
    assert {'coco/bbox_mAP', 'coco/segm_mAP'} <= set(metrics)
    assert all(0 <= value <= 1 for value in metrics.values())
    shown = capsys.readouterr().out
    for name in ('bbox_pr', 'bbox_confusion', 'segm_pr', 'segm_confusion'):
        (path,) = tmp_path.rglob(f'{name}.png')
        assert f'picture: {path}' in shown
        assert cv2.imread(str(path)).shape[0] > 300
    (log,) = tmp_path.rglob('*.log')
    assert 'class     objects     AP   AP50     AR' in log.read_text()
    assert f'coco/bbox_mAP: {metrics["coco/bbox_mAP"]}' in shown


def test_an_empty_evaluation_fails(checkpoint, data, tmp_path, capsys):
    out = tmp_path / 'metrics.json'
    assert (
        run(
            'test',
            CONFIG,
            checkpoint,
            '--work-dir',
            tmp_path,
            '--out',
            out,
            '--cfg-options',
            data,
            'model.test_cfg.rcnn.score_thr=1.0',
        )
        == 1
    )
    assert 'error: ' in capsys.readouterr().err
    assert not out.exists()


def test_predict_draws_and_writes_coco_results(
    workspace, checkpoint, data, tmp_path, capsys
):
    folder = workspace / 'shapes' / 'val2017'
    first = sorted(folder.glob('*.jpg'))[0]
    # The folder and the pattern lead to the same images: each counts once.
    assert (
        run(
            'predict',
            CONFIG,
            checkpoint,
            folder,
            first,
            f'{folder}/*.jpg',
            '--out',
            tmp_path,
            '--score-thr',
            0.0,
            '--batch-size',
            3,
            '--cfg-options',
            data,
        )
        == 0
    )
    images = sorted(path.name for path in folder.glob('*.jpg'))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *images,
        'images.json',
        'predictions.json',
    ]
    for name in images:
        drawn, source = (
            cv2.imread(str(place / name)) for place in (tmp_path, folder)
        )
        assert drawn.shape == source.shape
        assert np.abs(drawn.astype(int) - source).mean() > 2
    truth = COCO(str(tmp_path / 'images.json'))
    results = truth.loadRes(str(tmp_path / 'predictions.json'))
    assert [c['name'] for c in truth.loadCats(truth.getCatIds())] == [
        'circle',
        'square',
        'triangle',
    ]
    assert len(results.anns) > 0
    for entry in results.anns.values():
        image = truth.imgs[entry['image_id']]
        assert entry['file_name'] == image['file_name']
        assert (
            entry['category_name'] == truth.cats[entry['category_id']]['name']
        )
        mask = results.annToMask(entry)
        assert mask.shape == (image['height'], image['width'])
    assert '4 images' in capsys.readouterr().out


def test_predictions_do_not_depend_on_batch_or_source(
    checkpoint, data, workspace
):
    predictor = DetectionPredictor(CONFIG, str(checkpoint))
    files = sorted((workspace / 'shapes' / 'val2017').glob('*.jpg'))[:2]
    together = predictor(files, batch_size=2)
    for file, expected in zip(files, together):
        result = predictor(cv2.imread(str(file)))
        np.testing.assert_allclose(result.boxes, expected.boxes, atol=1e-4)
        np.testing.assert_allclose(result.scores, expected.scores, atol=1e-5)
        np.testing.assert_array_equal(result.masks, expected.masks)
        assert result.masks.shape[1:] == (64, 64)


def test_demo_ends_with_metrics_and_a_contact_sheet(data, tmp_path, capsys):
    options = [
        '--config',
        CONFIG,
        '--work-dir',
        tmp_path,
        '--processes',
        '1',
        '--cfg-options',
        data,
    ]
    assert run('demo', *options) == 0
    shown = capsys.readouterr().out
    assert 'bbox_mAP' in shown and 'segm_mAP' in shown
    for name in ('contact_sheet.png', 'curves.png'):
        assert f'  {tmp_path}/{name}\n' in shown
        assert (tmp_path / name).exists()
    assert shown.count('bbox_pr.png') == 1
    sheet = cv2.imread(str(tmp_path / 'contact_sheet.png'))
    assert sheet.shape[1] == 2 * (2 * 320 + 40) and sheet.shape[0] > 640
    assert 'coco/bbox_mAP' in json.loads(
        (tmp_path / 'metrics.json').read_text()
    )

    before = (tmp_path / 'iter_2.pth').stat().st_mtime_ns
    assert run('demo', *options) == 0
    assert 'is finished' in capsys.readouterr().out
    assert (tmp_path / 'iter_2.pth').stat().st_mtime_ns == before


def test_errors_are_analysed(checkpoint, data, tmp_path, capsys):
    options = ('--out', tmp_path, '--cfg-options', data)
    low = 'model.test_cfg.rcnn.score_thr=0.001'
    assert run('analyze', CONFIG, checkpoint, *options, low) == 0
    shown = capsys.readouterr().out
    content = json.loads((tmp_path / 'errors.json').read_text())
    assert [*content] == ['bbox', 'segm']
    objects = content['bbox']['counts']
    assert objects['missed'] and 'AP50 if mended' in shown
    assert list(tmp_path.glob('bbox_*_circle.png'))
