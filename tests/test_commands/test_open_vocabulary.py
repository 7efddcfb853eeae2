"""A detector that reads text: trained, tested and asked for by name."""

import json
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope

from helpers.coco import tiny_data, write_data
from helpers.command_line import run
from helpers.small_bert import make_bert
from swin_dense.engine import class_check_hook
from swin_dense.engine.launch import load_config

pytest.importorskip('mmdet', reason='a config of mmdet')
pytest.importorskip('transformers', reason='the model reads text')

CONFIG = """
_base_ = 'mmdet::grounding_dino/grounding_dino_swin-t_finetune_8xb2_20e_cat.py'
lang_model_name = {bert!r}
classes = ('cat', 'dog')
load_from = None
model = dict(
    num_queries=20,
    language_model=dict(name=lang_model_name),
    backbone=dict(
        type='swin_dense.SwinTransformer', embed_dims=12, depths=[1, 1, 1, 1],
        num_heads=[1, 2, 2, 4], window_size=4, init_cfg=None),
    neck=dict(in_channels=[24, 48, 96]),
    bbox_head=dict(num_classes=2),
    encoder=dict(num_layers=1, num_cp=1),
    decoder=dict(num_layers=1),
    test_cfg=dict(max_per_img=20))
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(80, 60), keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=(
        'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor',
        'text', 'custom_entities'))
]
data = dict(
    pipeline=pipeline,
    data_root={root!r}, metainfo=dict(classes=classes),
    ann_file='annotations/train.json', data_prefix=dict(img='train/'))
train_dataloader = dict(
    batch_size=1, num_workers=0, persistent_workers=False,
    dataset=dict(filter_cfg=dict(min_size=1), **data))
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(**data))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file={root!r} + '/annotations/train.json')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=1, val_interval=1)
default_hooks = dict(checkpoint=dict(_delete_=True, type='CheckpointHook'))
"""


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Config and checkpoint as a training leaves them."""
    folder = tmp_path_factory.mktemp('open_vocabulary')
    write_data(folder, tiny_data())
    path = folder / 'config.py'
    path.write_text(
        CONFIG.format(bert=make_bert(folder / 'bert'), root=str(folder))
    )
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(load_config(path).model)
        # Some parameters of mmdet are uninitialised memory until then.
        model.init_weights()
    meta = dict(dataset_meta=dict(classes=('cat', 'dog')))
    torch.save(
        dict(state_dict=model.state_dict(), meta=meta), folder / 'model.pth'
    )
    return path, folder / 'model.pth'


def predict(trained, out, *options):
    config, checkpoint = trained
    image = config.parent / 'train' / '7.png'
    status = run('predict', config, checkpoint, image, '--out', out, *options)
    if status:
        return status
    names = json.loads((out / 'images.json').read_text())['categories']
    result = json.loads((out / 'predictions.json').read_text())
    assert (out / '7.png').exists() or (out / '7.jpg').exists()
    return [c['name'] for c in names], result


def test_more_classes_than_embeddings():
    model = torch.nn.Module()
    model.language_model = torch.nn.Identity()
    model.dn_query_generator = SimpleNamespace(num_classes=1)
    class_check_hook.check_denoising(model, ['cat'])
    with pytest.raises(ValueError, match='has 2 classes, and model.bbox_head'):
        class_check_hook.check_denoising(model, ['cat', 'dog'])


@pytest.mark.slow
def test_trained(trained, tmp_path):
    config, _ = trained
    assert run('train', config, '--work-dir', tmp_path) == 0
    assert (tmp_path / 'epoch_1.pth').exists()


@pytest.mark.slow
def test_tested_on_its_data(trained, tmp_path):
    config, checkpoint = trained
    out = tmp_path / 'metrics.json'
    assert (
        run('test', config, checkpoint, '--work-dir', tmp_path, '--out', out)
        == 0
    )
    assert 'coco/bbox_mAP' in out.read_text()


def test_asked_for_by_name(trained, tmp_path):
    names, result = predict(
        trained, tmp_path, '--texts', 'person . traffic light'
    )
    assert names == ['person', 'traffic light']
    assert len(result) == 20
    assert {entry['category_name'] for entry in result} <= set(names)


def test_classes_of_the_model_by_default(trained, tmp_path):
    names, result = predict(trained, tmp_path)
    assert names == ['cat', 'dog'] and len(result) == 20


def test_more_names_than_it_was_trained_on(trained, tmp_path):
    names, _ = predict(
        trained, tmp_path, '--texts', 'dog . cat . person . light .'
    )
    assert names == ['dog', 'cat', 'person', 'light']


@pytest.mark.parametrize('texts', ['', ' . ', 'dog . dog'])
def test_texts_that_name_nothing_or_twice(trained, tmp_path, texts, capsys):
    assert predict(trained, tmp_path, '--texts', texts) != 0
    assert 'different names, separated by dots' in capsys.readouterr().err
