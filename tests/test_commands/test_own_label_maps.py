"""Own label maps: the documented config, the checker, and what goes wrong."""

import json
import re

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from helpers.command_line import REPOSITORY, error_of, run
from helpers.label_maps import CLASSES, label_map, write_pair
from swin_dense.checkpoints.files.read import read_checkpoint

PAGE = REPOSITORY / 'docs' / 'own_segmentation_data.md'
# What makes the recipe small enough for a test.
TINY = """
model.update(
    data_preprocessor=dict(size=(16, 16)),
    backbone=dict(
        arch=None, embed_dims=8, depths=[1, 1], num_heads=[1, 1],
        window_size=4, out_indices=(0, 1), init_cfg=None))
for name, channels in (('decode_head', [8, 16]), ('auxiliary_head', 16)):
    model[name].update(
        in_channels=channels, channels=8, norm_cfg=dict(
            type='GN', num_groups=2))
model['decode_head'].update(in_index=[0, 1], pool_scales=(1, 2))
model['auxiliary_head'].update(in_index=1)
load, annotations, resize, crop, *rest = _base_.train_pipeline
train_dataloader.update(num_workers=0, persistent_workers=False)
train_dataloader['dataset']['pipeline'] = [
    load, annotations, dict(crop, crop_size=(16, 16)), *rest]
load, resize, *rest = _base_.test_pipeline
val_dataloader.update(num_workers=0, persistent_workers=False)
val_dataloader['dataset']['pipeline'] = [load, *rest]
train_cfg = dict(max_iters=2, val_interval=2)
param_scheduler = None
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=2))
"""


@pytest.fixture
def config(tmp_path):
    """The config of the docs, made small, with data where it says."""
    for split in ('train', 'val'):
        for name in 'ab':
            path = write_pair(tmp_path / 'mine', name, split=split)
            target = tmp_path / 'mine' / 'labels' / split / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    text = re.search(r'```python\n(.*?)```', PAGE.read_text(), re.S)[1]
    assert len(text.splitlines()) <= 10
    text = text.replace("'./", f"'{REPOSITORY}/configs/").replace(
        "'data/mine/'", f"'{tmp_path}/mine/'"
    )
    path = tmp_path / 'mine.py'
    path.write_text(text + TINY)
    return path


def train(config, *options):
    work = config.parent / 'work'
    return run(
        'train',
        config,
        '--work-dir',
        work,
        *(['--cfg-options', *options] if options else []),
    )


def labels_of(config, name='a', split='train'):
    return config.parent / 'mine' / 'labels' / split / f'{name}.png'


def test_documented_config_trains_and_tests(config, capsys):
    assert train(config) == 0
    weights = config.parent / 'work' / 'iter_2.pth'
    stored = read_checkpoint(weights)
    assert stored['meta']['dataset_meta']['classes'] == CLASSES
    out = config.parent / 'metrics.json'
    assert (
        run(
            'test',
            config,
            weights,
            '--out',
            out,
            '--work-dir',
            config.parent / 'test',
            '--cfg-options',
            'test_evaluator.classwise=True',
        )
        == 0
    )
    metrics = json.loads(out.read_text())['metrics']
    assert 0 <= metrics['mIoU'] <= 100 and 'IoU.road' in metrics
    capsys.readouterr()
    # At a test, too, heads and classes must fit.
    error = error_of(
        capsys,
        run(
            'test',
            config,
            weights,
            '--work-dir',
            config.parent / 'test',
            '--cfg-options',
            'model.decode_head.num_classes=4',
        ),
    )
    assert 'decode_head' in error and '4' in error


def test_images_with_everything_ignored_train_without_nan(config):
    for name in 'ab':
        Image.fromarray(label_map(255)).save(labels_of(config, name))
    options = ('train_dataloader.dataset.check_labels=False',)
    assert train(config, *options) == 0
    (log,) = (config.parent / 'work').glob('*/*.log')
    assert log.read_text().count(' loss: 0.0000 ') == 2
    stored = read_checkpoint(config.parent / 'work' / 'iter_2.pth')
    assert all(
        torch.isfinite(value).all() for value in stored['state_dict'].values()
    )


def remove(path):
    path.unlink()


def cut(path):
    path.write_bytes(path.read_bytes()[:40])


def colour(path):
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:, 3:] = (128, 64, 32)
    Image.fromarray(pixels).save(path)


def out_of_range(path):
    Image.fromarray(label_map(0, 1, 38)).save(path)


def white(path):
    Image.fromarray(label_map(255)).save(path)


@pytest.mark.parametrize(
    'what, change, message',
    [
        (
            'labels',
            remove,
            '1 of 2 images have no label map, missing are .*a.p',
        ),
        ('images', remove, '1 label maps have no image in .*: .*a.png'),
        ('labels', cut, 'a.png cannot be decoded'),
        ('images', cut, 'a.jpg (cannot be decoded|is truncated)'),
        ('labels', colour, 'a.png is RGB; a label map has one channel'),
        (
            'labels',
            out_of_range,
            r'value 38 in .*a.png \(128 pixels\), num_class',
        ),
    ],
)
def test_bad_files_end_a_training_at_its_start(
    config, capsys, what, change, message
):
    suffix = '.jpg' if what == 'images' else '.png'
    path = config.parent / 'mine' / what / 'train' / f'a{suffix}'
    change(path)
    assert re.search(message, error_of(capsys, train(config)))


@pytest.mark.parametrize(
    'option, message',
    [
        (
            'model.decode_head.num_classes=4',
            r"has 3 classes: 'background', 'road', 'car'\nbut the model has\n"
            r'  model.decode_head \(UPerHead\): num_classes=4\nCorrect',
        ),
        ('model.auxiliary_head.num_classes=2', r'auxiliary_head \(FCNHead\)'),
        (
            'val_dataloader.dataset.metainfo.classes=background,car,road',
            'the training set has the classes .*, the validation set',
        ),
        (
            'train_dataloader.dataset.reduce_zero_label=True',
            'Set reduce_zero_label=False',
        ),
        (
            'train_dataloader.dataset.pipeline.2.crop_size=(64,64)',
            r'crop_size=\(64, 64\) .* is larger than every image: images are '
            'at most 16 high and 24 wide',
        ),
        (
            'data_root=/nowhere',
            r'/nowhere/images/train does not exist(.|\n)*Expected:\n(.|\n)*'
            r'  swin-dense train upernet_swin_nano_shapes',
        ),
    ],
)
def test_bad_settings_end_a_training_at_its_start(
    config, capsys, option, message
):
    assert re.search(message, error_of(capsys, train(config, option)))


def test_unknown_class_of_the_shapes(tmp_path, capsys):
    error = error_of(
        capsys,
        run(
            'train',
            REPOSITORY / 'configs/upernet_swin_nano_shapes.py',
            '--work-dir',
            tmp_path,
            '--cfg-options',
            f'data_root={tmp_path}/shapes',
            'train_dataloader.dataset.generate.num_images=1',
            'train_dataloader.dataset.metainfo.classes='
            'background,circle,sqquare,triangle',
        ),
    )
    assert "class 'sqquare' is not in" in error
    assert "did you mean 'square'?" in error


def test_checker_of_a_folder(config, tmp_path, capsys):
    out = tmp_path / 'labels.json'
    folder = labels_of(config).parent
    images = config.parent / 'mine' / 'images' / 'train'
    assert (
        run(
            'check_label_maps',
            folder,
            '--classes',
            3,
            '--images',
            images,
            '--out',
            out,
        )
        == 0
    )
    shown = capsys.readouterr().out
    assert shown.startswith(f'{folder}: 2 label maps\n  value  label    share')
    assert shown.endswith('no problems\n')
    assert json.loads(out.read_text())[str(folder)]['pixels'] == {
        '0': 256,
        '1': 256,
        '2': 256,
    }
    (images / 'b.jpg').unlink()
    cv2.imwrite(str(images / 'a.jpg'), np.zeros((8, 8, 3), np.uint8))
    assert (
        run('check_label_maps', folder, '--classes', 2, '--images', images)
        == 1
    )
    shown = capsys.readouterr().out
    assert 'value 2 in' in shown and '3 problems' in shown
    assert 'a.png is 24x16 pixels (width x height), its image' in shown
    assert f'b.png has no image in {images}' in shown


def test_checker_of_a_config(config, tmp_path, capsys):
    white(labels_of(config, split='val'))
    assert run('check_label_maps', config) == 0
    shown = capsys.readouterr().out
    assert 'train: 2 label maps' in shown and 'val: 2 label maps' in shown
    assert 'test: ' not in shown and '33.33%  car' in shown
    assert 'note: 1 of 2 label maps are ignored on more than 99%' in shown
    out_of_range(labels_of(config))
    assert run('check_label_maps', config) == 1
    assert 'problem: value 38 in' in capsys.readouterr().out


@pytest.mark.parametrize(
    'place, args, message',
    [
        ('', [], 'add --classes N'),
        ('', ['--classes', 3], 'contains no .png file'),
        ('no/labels', ['--classes', 3], 'no/labels does not exist'),
    ],
)
def test_checker_of_what_is_none(tmp_path, capsys, place, args, message):
    error = error_of(capsys, run('check_label_maps', tmp_path / place, *args))
    assert message in error


def test_demo_of_label_maps(config, tmp_path, capsys):
    work = tmp_path / 'demo'
    assert (
        run('demo', '--config', config, '--work-dir', work, '--processes', '1')
        == 0
    )
    shown = capsys.readouterr().out
    assert '  mIoU  ' in shown and 'bbox_mAP' not in shown
    metrics = json.loads((work / 'metrics.json').read_text())
    assert {'aAcc', 'mIoU', 'mAcc'} <= set(metrics)
    sheet = cv2.imread(str(work / 'contact_sheet.png'))
    assert sheet.shape[1] == 2 * (2 * 320 + 40) and sheet.shape[0] > 213
