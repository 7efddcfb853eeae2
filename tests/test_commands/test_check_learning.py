"""Faults that are planted in pipeline, optimizer and model are named."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import TRANSFORMS

from helpers.ade import write_ade
from helpers.command_line import CONFIG, run
from helpers.moving_squares import write_videos

pytest.importorskip('mmdet')


@TRANSFORMS.register_module()
class PlantedFault:
    """Spoil the truth of an image, and leave its pixels as they are."""

    def __init__(self, fault):
        self.fault = fault

    def __call__(self, results):
        if self.fault == 'boxes':
            results['gt_bboxes'].translate_((9, 0))
        elif self.fault == 'classes':
            results['gt_bboxes_labels'] = 2 - results['gt_bboxes_labels']
        elif self.fault == 'masks':
            masks = results['gt_masks']
            masks.masks = np.roll(masks.masks, 20, axis=2)
        elif self.fault == 'noise':
            noise = np.random.randint(0, 9, results['img'].shape)
            results['img'] = (results['img'] // 2 + noise).astype(np.uint8)
            results['gt_bboxes'].translate_((9, 0))
        return results


def check(root, name, *options, config=CONFIG, root_of='shapes'):
    """Return the result of a check of the smallest detector."""
    out = root / 'report'
    status = run(
        'check',
        config,
        '--out',
        out,
        '--only',
        name,
        '--cfg-options',
        f'data_root={root}/{root_of}',
        *options,
    )
    (result,) = json.loads((out / 'report.json').read_text())['checks']
    assert status == (result['status'] == 'failed')
    return result


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return tmp_path_factory.mktemp('check')


@pytest.fixture
def plant(monkeypatch):
    """Return a function that adds a fault to the training pipeline."""
    from swin_dense.commands import check as command

    def add(fault):
        load = command.load_config

        def load_config(*args):
            cfg = load(*args)
            pipeline = cfg.train_dataloader.dataset.pipeline
            pipeline.insert(2, dict(type='PlantedFault', fault=fault))
            return cfg

        monkeypatch.setattr(command, 'load_config', load_config)

    return add


def test_what_the_pipeline_gives_is_what_the_files_have(root):
    result = check(root, 'targets')
    assert result['status'] == 'ok', result


@pytest.mark.parametrize(
    'fault, clue',
    [
        ('boxes', 'box x y w h'),
        ('classes', ': label '),
        ('masks', 'the mask has an IoU of'),
    ],
)
def test_faults_of_the_pipeline_are_named(root, plant, fault, clue):
    plant(fault)
    result = check(root, 'targets')
    assert result['status'] == 'failed'
    assert result['summary'].startswith(f'{fault}: the training pipeline')
    assert clue in result['details'][0] and 'image id' in result['details'][0]


def test_steps_that_change_images_at_random_are_left_out(root, plant):
    plant('noise')
    assert check(root, 'targets')['status'] == 'ok'


@pytest.mark.parametrize(
    'rate, clue',
    [
        (0.0, 'changed the weights by 0 of their norm: raise it'),
        (1e3, 'lower it'),
    ],
)
def test_rates_that_cannot_work(root, rate, clue):
    result = check(root, 'rate', f'optim_wrapper.optimizer.lr={rate}')
    assert result['status'] == 'failed'
    assert result['summary'].startswith(f'learning rate {rate}: ')
    assert clue in result['summary']


def test_a_rate_that_works(root):
    result = check(root, 'rate')
    assert result['status'] == 'ok', result
    assert len(result['values']['losses']) == 10


@pytest.mark.parametrize(
    'options, stage',
    [
        (
            (
                'model.train_cfg.rpn.assigner.min_pos_iou=0.999',
                'model.train_cfg.rpn.assigner.pos_iou_thr=0.999',
            ),
            'assignment: rpn_head.assigner gives',
        ),
        (('model.test_cfg.rpn.max_per_img=1',), 'proposals: '),
    ],
)
def test_stages_of_the_model_are_named(root, monkeypatch, options, stage):
    """A few steps suffice where no number of steps would."""
    from swin_dense.detection import preflight

    monkeypatch.setattr(preflight, 'TRIES', ((2e-3, 2), (5e-4, 4)))
    result = check(root, 'learning', *options)
    assert result['status'] == 'failed'
    assert result['summary'].startswith(stage)


def test_a_segmentor_and_a_recognizer_are_scored(tmp_path, monkeypatch):
    """Two steps are too few, which is no other fault."""
    from swin_dense.segmentation import preflight as segmentation
    from swin_dense.video import preflight as video

    for module in (segmentation, video):
        monkeypatch.setattr(module, 'TRIES', ((1e-3, 2),))
    write_ade(tmp_path / 'upernet')
    write_videos(tmp_path / 'video_swin')
    for name, score in (('upernet', 'mIoU'), ('video_swin', 'top-1')):
        config = str(Path(CONFIG).with_name(f'tiny_{name}.py'))
        result = check(tmp_path, 'learning', root_of=name, config=config)
        scores = result['values']['scores']
        assert [*scores] == [score] and 0 <= scores[score] <= 1
        assert result['status'] == 'ok' or result['summary'].startswith(
            f'classes: {score} '
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    'config',
    [
        'cascade_swin_nano_shapes',
        'upernet_swin_nano_shapes',
        'video_swin_nano_shapes',
    ],
)
def test_the_quick_starts_are_learnt_by_heart(config, tmp_path):
    from swin_dense.preflight import learning

    learning.SECONDS = 600.0
    options = (
        f'data_root={tmp_path}/data',
        'train_dataloader.dataset.generate.'
        + ('num_clips=32' if 'video' in config else 'num_images=32'),
    )
    status = run(
        'check',
        config,
        '--out',
        tmp_path,
        '--only',
        'learning',
        '--cfg-options',
        *options,
    )
    (result,) = json.loads(Path(tmp_path, 'report.json').read_text())['checks']
    assert status == 0 and result['status'] == 'ok', result
    assert min(result['values']['scores'].values()) > 0.9
