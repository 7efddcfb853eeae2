"""Settings of the command line change a config, or are refused."""

import pytest
from mmengine.config import Config

from swin_dense.engine.cfg_options import apply_options


@pytest.fixture
def cfg():
    return Config(
        dict(
            data_root='data/coco/',
            max_epochs=12,
            model=dict(
                type='MaskRCNN',
                backbone=dict(type='swin_dense.SwinTransformer', depths=[2]),
                roi_head=dict(bbox_head=[dict(num_classes=3)] * 2),
                init_cfg=None,
            ),
            train_cfg=dict(max_epochs=12),
            train_dataloader=dict(
                batch_size=2,
                dataset=dict(
                    data_root='data/coco/', ann_file='annotations/a.json'
                ),
            ),
            val_evaluator=dict(ann_file='data/coco/annotations/b.json'),
        )
    )


def test_sets_known_and_new_arguments(cfg):
    apply_options(
        cfg,
        {
            'train_dataloader.batch_size': 4,
            'model.backbone.with_cp': True,
            'model.roi_head.bbox_head.1.num_classes': 5,
            'randomness.seed': 3,
            'train_dataloader.dataset.metainfo.classes': ['a'],
        },
    )
    assert cfg.train_dataloader.batch_size == 4
    assert cfg.model.backbone.with_cp is True
    assert [h.num_classes for h in cfg.model.roi_head.bbox_head] == [3, 5]
    assert cfg.randomness.seed == 3
    assert cfg.train_dataloader.dataset.metainfo.classes == ['a']


def test_settings_of_the_runner_need_not_stand_in_the_config(cfg):
    settings = dict(
        compile_backbone='eager',
        allow_nonfinite=['head.*'],
        copy_classes=True,
        tta=dict(flip=False),
    )
    apply_options(cfg, settings)
    assert {name: cfg[name] for name in settings} == settings


def test_data_root_moves_every_path_below_it(cfg):
    cfg.other = 'data/coco_extra/x.json'
    apply_options(cfg, {'data_root': '/mnt/coco'})
    assert cfg.data_root == '/mnt/coco/'
    assert cfg.train_dataloader.dataset.data_root == '/mnt/coco/'
    assert cfg.train_dataloader.dataset.ann_file == 'annotations/a.json'
    assert cfg.val_evaluator.ann_file == '/mnt/coco/annotations/b.json'
    assert cfg.other == 'data/coco_extra/x.json'


@pytest.mark.parametrize(
    'name, message',
    [
        ('trian_dataloader.batch_size', 'did you mean train_dataloader'),
        (
            'train_dataloader.batchsize',
            "no 'batchsize'; did you mean batch_size",
        ),
        (
            'model.backbne.depths',
            "model has no 'backbne'; did you mean backbone",
        ),
        (
            'model.roi_head.bbox_head.2.num_classes',
            "list of 2; '2' is not an index",
        ),
        ('model.init_cfg.checkpoint', 'model.init_cfg is None and holds no'),
        ('max_epochs', 'variable of the config file.*: train_cfg.max_epochs'),
    ],
)
def test_refuses_what_would_have_no_effect(cfg, name, message):
    before = cfg.to_dict()
    with pytest.raises(ValueError, match=message):
        apply_options(cfg, {name: 1})
    assert cfg.to_dict() == before


@pytest.mark.parametrize(
    'name, value, message',
    [
        (
            'train_dataloader.batch_size',
            'abc',
            'train_dataloader.batch_size=abc: expected a value such as 2, got',
        ),
        ('model.roi_head.bbox_head.0.num_classes', 'x', 'such as 3, got text'),
    ],
)
def test_text_does_not_replace_a_number(cfg, name, value, message):
    with pytest.raises(ValueError, match=message):
        apply_options(cfg, {name: value})


def test_a_name_without_its_path_is_completed(cfg):
    with pytest.raises(
        ValueError,
        match="has no 'batch_size'; did you mean train_dataloader.batch_size?",
    ):
        apply_options(cfg, {'batch_size': 4})
