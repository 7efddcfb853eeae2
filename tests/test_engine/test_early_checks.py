"""Settings that would fail late, or do harm, are refused before training."""

import json
import logging
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.visualization import Visualizer

from helpers import training
from helpers.command_line import CONFIG, error_of, run
from swin_dense.detection.metric import CheckedCocoMetric
from swin_dense.engine.early_checks import (
    check_save_best,
    check_settings,
    tolerate_full_disk,
)
from swin_dense.segmentation.metric import CheckedIoUMetric
from swin_dense.synthetic.shapes import generate_coco
from swin_dense.video.metric import CheckedAccMetric


@pytest.mark.parametrize(
    'option, message',
    [
        ('optim_wrapper.clip_grad.max_norm=-1', 'is not a finite number abov'),
        ('optim_wrapper.optimizer.lr=1e39', 'is not a learning rate; expect'),
        ('optim_wrapper.optimizer.lr=-0.1', 'is not a learning rate; expect'),
        ('train_cfg.max_iters=0', 'max_iters=0 is not a count'),
        ('train_cfg.val_interval=0', 'val_interval=0 is not a count'),
        ('default_hooks.checkpoint.interval=0', 'interval=0 is not a count'),
        (
            'default_hooks.checkpoint.save_best=coco/bbox_mAP_5',
            'is no value of the validation: did you mean coco/bbox_mAP_',
        ),
        (
            'optim_wrapper.optimizer.type=AdamX',
            'there is no optimizer AdamX; did you',
        ),
    ],
    ids=lambda text: text[:45],
)
def test_a_training_is_refused_in_a_sentence(
    option, message, tmp_path, capsys
):
    work = tmp_path / 'work'
    status = run(
        'train',
        CONFIG,
        *('--work-dir', work, '--cfg-options', option),
        f'data_root={tmp_path}/shapes',
    )
    assert message in error_of(capsys, status)
    assert not work.exists()


@pytest.mark.parametrize('value', [float('nan'), float('inf'), '1', True, 0])
def test_limits_of_the_gradient_are_numbers(value):
    clip = dict(optim_wrapper=dict(clip_grad=dict(max_norm=value)))
    with pytest.raises(ValueError, match='clip_grad.max_norm=.*is not a fini'):
        check_settings(clip)


def test_good_settings_pass():
    check_settings({})
    check_settings(
        Config(
            dict(
                optim_wrapper=dict(
                    optimizer=dict(lr=1), clip_grad=dict(max_norm=0.5)
                ),
                train_cfg=dict(max_epochs=1),
                default_hooks=dict(checkpoint=dict(interval=-1)),
            )
        )
    )


@pytest.mark.parametrize(
    'metric, good, bad',
    [
        (
            CheckedCocoMetric(metric=['bbox', 'segm']),
            ['coco/bbox_mAP', 'coco/segm_mAP_50', 'auto'],
            'bbox_mAP',
        ),
        (CheckedIoUMetric(), ['mIoU', 'aAcc', 'mAcc'], 'IoU'),
        (CheckedAccMetric(), ['acc/top1', 'acc/mean1'], 'top1'),
    ],
)
def test_names_of_the_best_are_checked(metric, good, bad):
    check_save_best(good, [metric])
    with pytest.raises(ValueError, match=f'save_best={bad!r} is no value of'):
        check_save_best([bad], [metric])
    check_save_best([bad], [metric, SimpleNamespace()])


def test_a_shared_set_is_named(logged):
    def loader(name, **kwargs):
        dataset = dict(data_root='d', ann_file=name, **kwargs)
        return dict(dataset=dict(type='RepeatDataset', dataset=dataset))

    check_settings(
        dict(
            train_dataloader=loader('a.json'), val_dataloader=loader('b.json')
        )
    )
    assert 'so its scores' not in logged.text
    check_settings(
        dict(
            train_dataloader=loader('a.json'), val_dataloader=loader('a.json')
        )
    )
    assert 'the val set is the training set (d/a.json)' in logged.text


def test_a_full_disk_does_not_end_a_training(tmp_path, monkeypatch, capsys):
    def fail(*args, **kwargs):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Visualizer, 'add_scalars', fail)
    run = training.runner(tmp_path)
    run.train()
    assert (tmp_path / 'iter_20.pth').exists()
    text = capsys.readouterr().out
    assert text.count('cannot be written') == 1
    assert 'No space left on device' in text and 'goes on without' in text


def test_a_log_file_without_room_is_named_once(tmp_path, capsys):
    logger = logging.getLogger('full_disk')
    handler = logging.FileHandler(tmp_path / 'x.log')
    handler.emit = lambda record: handler.handleError(record)
    logger.addHandler(handler)
    tolerate_full_disk(logger)
    for _ in range(3):
        logger.warning('a line')
    text = capsys.readouterr()
    assert text.out.count('x.log cannot be written (is the disk full?)') == 1
    assert 'Traceback' not in text.err
    handler.close()


@pytest.fixture
def shapes(tmp_path):
    """Options for a data set that is there and is not generated again."""
    for split, count in (('train2017', 6), ('val2017', 4)):
        generate_coco(tmp_path, {split: count}, image_size=64)
    return [
        f'data_root={tmp_path}/',
        'train_dataloader.dataset.generate=None',
        'val_dataloader.dataset.generate=None',
    ]


def refused(capsys, tmp_path, options):
    """Return the message of a training that is refused before step 1."""
    work = tmp_path / 'work'
    status = run(
        'train', CONFIG, *('--work-dir', work, '--cfg-options', *options)
    )
    error = error_of(capsys, status)
    assert not work.exists()
    return error


def test_a_validation_set_without_annotations(shapes, tmp_path, capsys):
    path = tmp_path / 'annotations' / 'instances_val2017.json'
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, 'annotations': []}))
    error = refused(capsys, tmp_path, shapes)
    assert f'{path} has no annotations to compare with: it lists' in error
    del data['annotations']
    path.write_text(json.dumps(data))
    error = refused(capsys, tmp_path, shapes)
    assert str(path) in error and 'annotations' in error


@pytest.mark.parametrize('name', ['instances_train2017.json', 'none.json'])
def test_an_evaluator_of_another_file(shapes, tmp_path, capsys, name):
    other = tmp_path / 'annotations' / name
    options = [*shapes, f'val_evaluator.ann_file={other}']
    error = refused(capsys, tmp_path, options)
    assert f'the evaluator reads {other}, the data set' in error
    assert 'leave ann_file out of the evaluator' in error
