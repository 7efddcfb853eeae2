"""Pipelines lose their augmentation, and keep what a user wrote."""

import pytest
from mmengine.registry import TRANSFORMS, init_default_scope

from swin_dense.engine.launch import load_config
from swin_dense.preflight.samples import is_known, quieten

pytest.importorskip('mmdet')
RESIZE = dict(type='Resize', scale=(64, 64), keep_ratio=True)


def names(pipeline):
    return [step['type'].split('.')[-1] for step in pipeline]


@pytest.mark.parametrize(
    'config, expected',
    [
        (
            'mask_rcnn_swin_t_coco',
            [
                'LoadImageFromFile',
                'LoadAnnotations',
                'Resize',
                'PackDetInputs',
            ],
        ),
        (
            'htcpp_swin_b_coco',
            [
                'LoadImageFromFile',
                'LoadAnnotations',
                'Resize',
                'PackDetInputs',
            ],
        ),
        (
            'upernet_swin_t_ade20k',
            [
                'LoadImageFromFile',
                'LoadAnnotations',
                'Resize',
                'PackSegInputs',
            ],
        ),
        (
            'video_swin_t_k400',
            [
                'VideoInit',
                'SampleFrames',
                'VideoDecode',
                'Resize',
                'FormatShape',
                'PackActionInputs',
            ],
        ),
    ],
)
def test_augmentation_is_left_out(config, expected):
    cfg = load_config(config)
    init_default_scope(cfg.default_scope)
    pipeline = cfg.train_dataloader.dataset.pipeline
    quiet = quieten(pipeline, [RESIZE])
    assert names(quiet) == expected
    assert quiet[names(quiet).index('Resize')] == RESIZE
    if 'SampleFrames' in names(quiet):
        assert quiet[1]['test_mode'] and not pipeline[1].get('test_mode')


def test_steps_that_a_user_wrote_stay():
    init_default_scope('mmdet')

    @TRANSFORMS.register_module(force=True)
    class RandomThing:
        """A step of a user, whose name is that of an augmentation."""

        def __call__(self, results):
            return results

    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='RandomFlip'),
        dict(type='RandomThing'),
        dict(type='PackDetInputs'),
    ]
    assert not is_known(pipeline[2]) and is_known(pipeline[1])
    assert names(quieten(pipeline, [RESIZE])) == [
        'LoadImageFromFile',
        'Resize',
        'RandomThing',
        'PackDetInputs',
    ]
