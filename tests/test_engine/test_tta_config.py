"""Configs that test several views: their pipelines, by hand."""

from copy import deepcopy

import pytest
from mmengine.config import Config

from swin_dense.engine.cfg_options import apply_options
from swin_dense.engine.tasks import SEGMENTATION
from swin_dense.engine.tta_config import add_tta

LOAD = dict(type='LoadImageFromFile')
RESIZE = dict(type='Resize', scale=(128, 32), keep_ratio=True)
LABELS = dict(type='LoadAnnotations')
PACK = dict(type='PackDetInputs', meta_keys=('img_id', 'scale_factor'))
SEGMENTOR = dict(type='EncoderDecoder', decode_head=dict())
DETECTOR = dict(type='MaskRCNN', roi_head=dict())


def config(*steps, model=SEGMENTOR, **settings):
    """Return a config with only the parts that augmentation reads."""
    dataset = dict(pipeline=list(steps or (LOAD, RESIZE, LABELS, PACK)))
    return Config(
        dict(
            model=deepcopy(model),
            test_dataloader=dict(dataset=dataset),
            **settings,
        )
    )


def pipeline(*steps, **options):
    cfg = config(*steps)
    add_tta(cfg, **options)
    return cfg.test_dataloader.dataset.pipeline


def scales(cfg):
    """Return the scales and flips of the views."""
    resizes, flips = cfg.test_dataloader.dataset.pipeline[1].transforms[:2]
    return [step.scale for step in resizes], [step.prob for step in flips]


def test_default_of_segmentation_is_the_published_test():
    cfg = config()
    add_tta(cfg)
    assert cfg.model == dict(type='swin_dense.SegTTAModel', module=SEGMENTOR)
    load, augment = cfg.test_dataloader.dataset.pipeline
    assert load == LOAD
    assert scales(cfg) == (
        [(64, 16), (96, 24), (128, 32), (160, 40), (192, 48), (224, 56)],
        [0.0, 1.0],
    )
    assert SEGMENTATION.tta_ratios == (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    resizes, flips, *rest = augment.transforms
    assert all(step.keep_ratio for step in resizes)
    assert all(step.direction == 'horizontal' for step in flips)
    assert rest[0] == [LABELS]


def test_default_of_detection():
    cfg = config(model=DETECTOR)
    add_tta(cfg)
    assert cfg.model == dict(type='swin_dense.DetTTAModel', module=DETECTOR)
    assert scales(cfg) == ([(64, 16), (128, 32), (192, 48)], [0.0, 1.0])


def test_samples_of_detectors_record_flips():
    pack = pipeline()[1].transforms[-1][0]
    assert pack.meta_keys == (
        'img_id',
        'scale_factor',
        'flip',
        'flip_direction',
    )
    # mmdet's default tells them anyway.
    bare = dict(type='PackDetInputs')
    assert pipeline(LOAD, RESIZE, bare)[1].transforms[-1] == [bare]


def test_settings_of_a_config():
    custom = dict(
        scales=[(60, 40), (90, 60)],
        flip=False,
        sizes=['ml', 's'],
        keep_features=True,
    )
    cfg = config(model=DETECTOR, tta=custom)
    apply_options(cfg, {'tta.flip': True})
    add_tta(cfg)
    assert scales(cfg) == ([(60, 40), (90, 60)], [0.0, 1.0])
    assert cfg.model == dict(
        type='swin_dense.DetTTAModel',
        sizes=['ml', 'ml', 's', 's'],
        keep_features=True,
        module=DETECTOR,
    )
    cfg = config(model=DETECTOR, tta=custom)
    add_tta(cfg, ratios=[2], flip=True)  # a command line's come first
    assert scales(cfg) == ([(256, 64)], [0.0, 1.0])
    assert 'sizes' not in cfg.model and cfg.model.keep_features


def test_settings_of_a_command_line_alone():
    cfg = config(model=DETECTOR)
    apply_options(cfg, {'tta.keep_features': True})
    add_tta(cfg)
    assert cfg.model.keep_features
    assert scales(cfg)[0] == [(64, 16), (128, 32), (192, 48)]


def test_scales_instead_of_ratios():
    cfg = config()
    add_tta(cfg, scales=[(100, 50)], flip=False)
    assert scales(cfg) == ([(100, 50)], [0.0])
    step = dict(type='Resize', scale_factor=2.0, keep_ratio=True)
    cfg = config(LOAD, step, PACK)
    add_tta(cfg, scales=[(100, 50)])
    resizes = cfg.test_dataloader.dataset.pipeline[1].transforms[0]
    assert resizes == [dict(type='Resize', scale=(100, 50), keep_ratio=True)]


@pytest.mark.parametrize(
    'step, key, expected',
    [
        (dict(type='Resize', scale=100), 'scale', (50, 50)),
        (
            dict(type='mmseg.Resize', scale_factor=2.0),
            'scale_factor',
            (1.0, 1.0),
        ),
        (
            dict(type='Resize', scale_factor=(2.0, 1.0)),
            'scale_factor',
            (1.0, 0.5),
        ),
    ],
)
def test_ways_to_resize(step, key, expected):
    steps = pipeline(LOAD, step, LABELS, PACK, ratios=[0.5])
    assert steps[1].transforms[0] == [dict(step, **{key: expected})]


def test_pipeline_that_does_not_resize():
    steps = pipeline(LOAD, LABELS, PACK, ratios=[0.5, 1])
    assert [step.scale_factor for step in steps[1].transforms[0]] == [
        (0.5, 0.5),
        (1.0, 1.0),
    ]


@pytest.mark.parametrize('ratios', [[1.0, -0.5], [0]])
def test_bad_ratios(ratios):
    with pytest.raises(ValueError, match='must be positive, such as'):
        add_tta(config(), ratios)


@pytest.mark.parametrize('scale', [(0, 5), (4,), (-1, 3)])
def test_bad_scales(scale):
    with pytest.raises(ValueError, match='pairs of positive numbers'):
        add_tta(config(), scales=[scale])


def test_ratios_or_scales():
    with pytest.raises(ValueError, match='not both'):
        add_tta(config(tta=dict(ratios=[1.0], scales=[(9, 9)])))


def test_sizes_of_other_scales():
    with pytest.raises(ValueError, match='for each of 2 scales, got'):
        add_tta(config(tta=dict(ratios=[1.0, 2.0], sizes=['s'])))


def test_labels_that_would_be_scaled():
    with pytest.raises(ValueError, match='move LoadAnnotations behind'):
        add_tta(config(LOAD, LABELS, RESIZE, PACK))


def test_two_resizes():
    with pytest.raises(ValueError, match="one Resize step, .*'ResizeToMult"):
        add_tta(config(LOAD, RESIZE, dict(type='ResizeToMultiple'), PACK))


@pytest.mark.parametrize(
    'model',
    [
        dict(type='Recognizer3D', cls_head=dict()),
        dict(type='Mask2Former', panoptic_head=dict()),
    ],
)
def test_other_hosts_are_refused(model):
    with pytest.raises(ValueError, match=f'{model["type"]}: test without'):
        add_tta(config(model=model))


def test_data_without_a_pipeline():
    cfg = config()
    del cfg.test_dataloader.dataset['pipeline']
    with pytest.raises(ValueError, match='test_dataloader.dataset.pipeline'):
        add_tta(cfg)
