"""A value that a person can type gets a sentence, before training."""

import json

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from helpers.coco import tiny_data, write_data
from helpers.command_line import CONFIG, error_of, run
from swin_dense.detection.dataset import CheckedCocoDataset
from swin_dense.engine import cli
from swin_dense.engine.cfg_options import apply_options
from swin_dense.engine.early_checks import check_channels, check_settings
from swin_dense.engine.launch import load_config

BACKBONE = 'model.backbone'
SETTINGS = [
    ('optim_wrapper.optimizer.type', 'AdamX', 'no optimizer AdamX; did you'),
    ('optim_wrapper.optimizer.lr', None, 'lr=None is not a finite number'),
    ('optim_wrapper.optimizer.weight_decay', -1, 'weight_decay=-1 is below'),
    ('optim_wrapper.optimizer.momentum', [1], 'momentum=[1] is not a finite'),
    ('optim_wrapper.accumulative_counts', 0, 'counts=0 is not a count'),
    ('optim_wrapper.accumulative_counts', 1.5, 'counts=1.5 is not a count'),
    ('optim_wrapper.clip_grad.max_norm', -1, 'is not a finite number above'),
    ('train_cfg.max_iters', 0, 'max_iters=0 is not a count'),
    ('train_cfg.max_iters', 1.5, 'max_iters=1.5 is not a count'),
    ('train_cfg.max_iters', None, 'max_iters=None is not a count'),
    ('train_cfg.val_interval', 0, 'val_interval=0 is not a count'),
    ('train_cfg.val_begin', -1, 'val_begin=-1 is not a count'),
    ('train_dataloader.batch_size', 0, 'train_dataloader.batch_size=0 is'),
    ('train_dataloader.batch_size', 1.5, 'batch_size=1.5 is not a count'),
    ('val_dataloader.batch_size', -2, 'val_dataloader.batch_size=-2 is not'),
    ('train_dataloader.num_workers', -1, 'num_workers=-1 is not a number'),
    ('train_dataloader.num_workers', 0.5, 'num_workers=0.5 is not a number'),
    ('randomness.seed', -1, 'seed=-1 is not a seed; expected an integer'),
    ('randomness.seed', 'x', "seed='x' is not a seed"),
    ('randomness.seed', 2**32, 'seed=4294967296 is not a seed'),
    ('default_hooks.logger.interval', 0, 'logger.interval=0 is not a count'),
    ('default_hooks.checkpoint.max_keep_ckpts', 0, 'ckpts=0 is not a count'),
    ('model.roi_head.bbox_head.num_classes', 0, 'bbox_head.num_classes=0 is'),
    ('model.roi_head.bbox_head.num_classes', 2.5, 'num_classes=2.5 is not a'),
    ('model.data_preprocessor.mean', [1, 2], 'has 2 numbers; expected one fo'),
    ('model.data_preprocessor.std', [0, 1, 1], 'std=0 is not a finite number'),
    ('model.data_preprocessor.pad_size_divisor', 0, 'divisor=0 is not a coun'),
]
# Each is refused by its constructor.
PARTS = [
    (f'{BACKBONE}.window_size', 7.5, 'must be a positive integer or 2 of the'),
    (f'{BACKBONE}.window_size', None, 'must be a positive integer or 2 of th'),
    (f'{BACKBONE}.window_size', 'seven', 'must be a positive integer or 2 of'),
    (f'{BACKBONE}.depths', 2, 'SwinTransformer cannot be built from its sett'),
    (f'{BACKBONE}.depths', [2, 1], 'need one number for each stage'),
    (f'{BACKBONE}.embed_dims', [8], 'SwinTransformer cannot be built'),
    (f'{BACKBONE}.num_heads', 3, 'SwinTransformer cannot be built'),
    (f'{BACKBONE}.out_indices', [], 'out_indices names no stage'),
    (f'{BACKBONE}.out_indices', [0, 7], 'rising stage numbers below 4'),
    (f'{BACKBONE}.out_indices', 3, 'out_indices=3'),
    (f'{BACKBONE}.drop_path_rate', 2, 'rate'),
    (f'{BACKBONE}.windows', 7, 'window_size'),
    ('model.neck.in_channels', 8, 'FPN cannot be built from its settings'),
    ('model.neck.num_outs', 1, 'FPN cannot be built from its settings'),
    ('model.rpn_head.in_channels', None, 'RPNHead cannot be built from its'),
    ('model.roi_head.mask_head.num_convs', [], 'FCNMaskHead cannot be built'),
]


def changed(name, value):
    cfg = load_config(CONFIG)
    cfg.merge_from_dict({name: value})
    return cfg


@pytest.mark.parametrize('name, value, message', SETTINGS)
def test_settings(name, value, message):
    with pytest.raises(ValueError) as caught:
        check_settings(changed(name, value))
    assert message in str(caught.value)


def test_the_settings_of_a_recipe_pass():
    for name in (CONFIG, 'upernet_swin_t_ade20k', 'video_swin_t_k400'):
        check_settings(load_config(name))


@pytest.mark.parametrize('name, value, message', PARTS)
def test_parts_of_a_model(name, value, message):
    cfg = changed(name, value)
    init_default_scope(cfg.default_scope)
    with pytest.raises(Exception) as caught:
        MODELS.build(cfg.model)
    error = caught.value
    fault = cli.settings_at_fault(error)
    assert fault or cli.is_expected(error)
    assert message in (fault or str(error))


def test_errors_elsewhere_are_defects():
    def fail():
        raise TypeError('a defect')

    with pytest.raises(TypeError) as caught:
        fail()
    assert cli.settings_at_fault(caught.value) is None
    assert cli.settings_at_fault(ValueError('a sentence')) is None


@pytest.mark.parametrize(
    'settings',
    [
        {f'{BACKBONE}.out_indices': [0, 1, 2]},
        {'model.neck.in_channels': [8, 16, 32]},
        {'model.neck.in_channels': [8, 16, 32, 65]},
    ],
)
def test_stages_that_the_neck_does_not_read(settings):
    cfg = load_config(CONFIG)
    cfg.merge_from_dict(settings)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    with pytest.raises(ValueError) as caught:
        check_channels(model)
    text = str(caught.value)
    assert 'model.neck.in_channels=[8, 16, 32' in text
    assert 'but the backbone returns' in text


def test_a_depth_ends_in_a_sentence(tmp_path, capsys):
    """The whole way, through the command line."""
    status = run(
        'train',
        CONFIG,
        *('--work-dir', tmp_path / 'work', '--cfg-options'),
        f'data_root={tmp_path}/shapes',
        f'{BACKBONE}.depths=2',
    )
    error = error_of(capsys, status)
    assert 'SwinTransformer cannot be built from its settings (' in error
    assert 'depths=2' in error and "'int' has no len()" in error


def test_a_device_that_does_not_exist():
    with pytest.raises(ValueError, match='--device banana is not a device'):
        cli.check_device('banana')


def test_text_in_place_of_a_number():
    cfg = load_config(CONFIG)
    with pytest.raises(ValueError, match='expected a value such as 4, got te'):
        apply_options(cfg, {f'{BACKBONE}.window_size': 'seven'})


VALUES = [
    ('annotations.bbox.2', 1e308),
    ('annotations.bbox.2', 10**400),
    ('annotations.bbox.2', None),
    ('annotations.bbox', None),
    ('annotations.bbox', [1]),
    ('annotations.category_id', None),
    ('annotations.category_id', [1]),
    ('annotations.image_id', {}),
    ('annotations.iscrowd', 0.5),
    ('annotations.segmentation', [None]),
    ('annotations.segmentation', 10**400),
    ('annotations.area', 'x'),
    ('annotations.area', 10**400),
    ('annotations.id', [3]),
    ('annotations', None),
    ('images.id', [1]),
    ('images.width', 1e308),
    ('images.height', 10**400),
    ('images.file_name', ['a']),
    ('images.file_name', None),
    ('images', {}),
    ('categories.name', None),
    ('categories.id', True),
    ('categories', [1]),
]


@pytest.mark.parametrize(
    'path, value', VALUES, ids=lambda value: repr(value)[:24]
)
def test_values_of_an_annotation_file(path, value, tmp_path):
    data = tiny_data()
    ann_file, folder = write_data(tmp_path, data)
    key, *rest = path.split('.')
    place = data if not rest else data[key][0]
    for step in rest[:-1]:
        place = place[step]
    last = rest[-1] if rest else key
    place[int(last) if last.isdigit() else last] = value
    # json refuses to write what it reads
    text = json.dumps(data, default=str) if value != 10**400 else None
    if text is None:
        place[int(last) if last.isdigit() else last] = 'HUGE'
        text = json.dumps(data).replace('"HUGE"', '1' + '0' * 400)
    ann_file.write_text(text)
    with pytest.raises(ValueError) as caught:
        CheckedCocoDataset(
            ann_file=str(ann_file),
            data_prefix=dict(img=str(folder)),
            pipeline=[dict(type='LoadAnnotations', with_mask=True)],
        )
    message = str(caught.value)
    assert str(ann_file) in message and len(message) > 60


def test_a_tensor_of_a_size_stays_one():
    """Sizes come as torch.Size, too."""
    from swin_dense.ops.grid import to_tuple

    assert to_tuple(torch.zeros(2, 3).shape, 2) == (2, 3)
