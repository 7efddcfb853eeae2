"""The task of a config is found, and its functions exist."""

from argparse import ArgumentParser
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS

import swin_dense.registry  # noqa: F401
from swin_dense.engine.tasks import (
    DETECTION,
    SEGMENTATION,
    TASKS,
    VIDEO,
    find_task,
    task_of,
)

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    'model, scope, task',
    [
        (dict(roi_head={}, rpn_head={}), 'mmdet', DETECTION),
        (dict(bbox_head={}), None, DETECTION),
        (dict(panoptic_head={}), 'mmdet', DETECTION),
        (dict(decode_head=[{}, {}]), 'mmseg', SEGMENTATION),
        (dict(cls_head={}), 'mmaction', VIDEO),
        (
            dict(type='mmseg.EncoderDecoder', decode_head={}),
            'mmdet',
            SEGMENTATION,
        ),
        (dict(type='mine.Net'), 'mmaction', VIDEO),
        (dict(type='mine.Net'), 'mmseg', SEGMENTATION),
        (
            dict(type='SegTTAModel', module=dict(decode_head={})),
            'mmdet',
            SEGMENTATION,
        ),
        (
            dict(type='SoftTeacher', detector=dict(roi_head={})),
            None,
            DETECTION,
        ),
    ],
)
def test_heads_decide_then_the_scope(model, scope, task):
    assert task_of(Config(dict(model=model, default_scope=scope))) is task


@pytest.mark.parametrize(
    'cfg',
    [
        dict(),
        dict(model=None),
        dict(
            model=dict(type='ImageClassifier', head={}),
            default_scope='mmpretrain',
        ),
    ],
)
def test_other_configs_are_of_no_task(cfg):
    assert find_task(cfg) is None


def test_the_error_says_what_a_task_is_known_by():
    with pytest.raises(ValueError) as caught:
        task_of(dict(model=dict(type='Net'), default_scope='mmpretrain'))
    message = str(caught.value)
    assert 'its model (Net)' in message
    assert 'segmentation: decode_head; video: cls_head' in message
    assert 'default_scope is mmpretrain' in message
    assert 'one of mmseg, mmaction, mmdet' in message


@pytest.mark.parametrize(
    'name, task',
    [
        ('cascade_swin_t_coco', DETECTION),
        ('upernet_swin_t_ade20k', SEGMENTATION),
        ('video_swin_t_k400', VIDEO),
    ],
)
def test_a_recipe_is_of_its_task(name, task):
    cfg = Config.fromfile(REPOSITORY / 'configs' / f'{name}.py')
    assert task_of(cfg) is task
    assert cfg.default_scope == task.scope


@pytest.mark.parametrize('task', TASKS, ids=lambda task: task.name)
def test_what_a_task_names_exists(task):
    folder = f'swin_dense.{task.name}.'
    assert task.load('predictor').__module__.startswith(folder)
    assert task.load('predictor').scope == task.scope
    assert task.load('writer').__module__.startswith(folder)
    assert task.load('predict_files').__module__.startswith(folder)
    assert task.load('add_options')(ArgumentParser())
    assert task.tta_model == '' or MODELS.get(task.tta_model) is not None
    assert {*task.tta_heads} <= {*task.heads}
    assert bool(task.tta_model) == bool(task.tta_ratios)


def test_views_are_those_of_clips():
    pipeline = [
        dict(type='SampleFrames', num_clips=4),
        dict(type='swin_dense.EvenCrops', count=3),
    ]
    assert VIDEO.load('views')(pipeline) == (4, 3)
    assert DETECTION.views == SEGMENTATION.views == ''
