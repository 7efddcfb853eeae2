"""A certificate records what decides a training, and can be compared."""

import copy
import json

import pytest
import torch
from mmengine.config import Config

from helpers.command_line import CONFIG, error_of, run
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.engine.certificate import (
    differences,
    hash_weights,
    make_certificate,
    read_certificate,
)
from swin_dense.engine.launch import load_config


def test_weights_are_hashed_by_name_type_shape_and_value():
    weights = dict(a=torch.arange(4.0), b=torch.zeros(2, dtype=torch.int64))
    expected = hash_weights(weights)
    assert hash_weights(dict(reversed(weights.items()))) == expected
    for name, value in (
        ('a', torch.arange(4.0).reshape(2, 2)),
        ('a', torch.arange(4.0).double()),
        ('a', torch.tensor([0.0, 1, 2, 3.0000002])),
        ('c', torch.arange(4.0)),
    ):
        assert hash_weights({**weights, name: value}) != expected
    assert hash_weights(dict(x=torch.ones(2, dtype=torch.bfloat16)))


def test_differences_come_in_order_of_importance():
    config = load_config('mask_rcnn_swin_nano_shapes')
    first = make_certificate(config, seed=0, processes=1)
    assert first['batch']['images per update'] == 4
    changed = Config(copy.deepcopy(config.to_dict()))
    changed.randomness = dict(seed=4)
    changed.model.backbone.window_size = 4
    changed.optim_wrapper.optimizer.lr = 0.5
    changed.train_dataloader.batch_size = 3
    changed.optim_wrapper.accumulative_counts = 2
    changed.train_dataloader.dataset.pipeline.append(dict(type='Rotate'))
    changed.train_cfg.max_iters = 10
    found = differences(first, make_certificate(changed, processes=2))
    assert [entry.name for entry in found] == [
        'batch.images per update',
        'batch.images per process',
        'batch.processes',
        'batch.accumulated steps',
        'learning rate.optimizer.lr',
        'length.max_iters',
        'augmentation.0',
        'model.backbone.window_size',
        'seeds.seed',
    ]
    assert str(found[4]) == 'learning rate.optimizer.lr: 0.001 -> 0.5'
    assert found[0].second == 12
    assert not differences(first, first)


def test_data_are_hashed(tmp_path):
    def config(annotations, images):
        folder = tmp_path / 'images'
        folder.mkdir(exist_ok=True)
        for name in images:
            (folder / name).touch()
        (tmp_path / 'train.json').write_text(annotations)
        dataset = dict(
            type='CocoDataset',
            data_root=str(tmp_path),
            ann_file='train.json',
            data_prefix=dict(img='images'),
        )
        loader = dict(batch_size=1, dataset=dataset)
        return make_certificate(Config(dict(train_dataloader=loader)))

    first = config('{}', ['a.jpg'])
    second = config('{ }', ['a.jpg'])
    third = config('{ }', ['b.jpg'])
    assert [entry.name for entry in differences(first, second)] == [
        'data.train.0.annotations hash'
    ]
    assert [entry.name for entry in differences(second, third)] == [
        'data.train.0.img files'
    ]


def test_unknown_is_no_difference():
    config = load_config('mask_rcnn_swin_nano_shapes')
    known = make_certificate(config, 0, 2, dict(a=torch.ones(1)))
    assert not differences(known, make_certificate(config))


def train(folder, *options):
    return run(
        'train',
        CONFIG,
        *('--work-dir', folder, '--seed', 0, '--cfg-options'),
        f'data_root={folder.parent}/shapes',
        *('train_cfg.max_iters=2', 'default_hooks.checkpoint.interval=2'),
        *options,
    )


def test_equal_certificates_mean_equal_runs(tmp_path, capsys):
    folders = [tmp_path / name for name in ('one', 'two', 'other')]
    for folder in folders[:2]:
        assert train(folder) == 0
    assert train(folders[2], 'optim_wrapper.optimizer.lr=0.02') == 0
    one, two, other = map(read_certificate, folders)
    assert not differences(one, two)
    assert one['result'] == two['result'] != other['result']
    assert one['result']['iterations'] == 2
    saved = read_checkpoint(folders[0] / 'iter_2.pth')
    assert one['result']['weights'] == hash_weights(saved['state_dict'])
    assert one['data']['train'][0]['annotations hash']
    from_checkpoint = read_certificate(folders[0] / 'iter_2.pth')
    assert not differences(from_checkpoint, one)

    capsys.readouterr()
    out = tmp_path / 'differences.json'
    assert run('recipe_diff', folders[0], folders[2], '--out', out) == 0
    text = capsys.readouterr().out
    assert '1. learning rate.optimizer.lr: 0.01 -> 0.02\n' in text
    assert text.endswith('1 difference\n')
    assert json.loads(out.read_text()) == [
        dict(name='learning rate.optimizer.lr', first=0.01, second=0.02)
    ]
    assert run('recipe_diff', folders[0] / 'certificate.json', CONFIG) == 0
    text = capsys.readouterr().out
    assert 'weights' not in text  # those of a config are unknown
    assert 'learning rate' not in text and 'seeds' not in text


@pytest.mark.parametrize(
    'name, content, message',
    [
        ('empty', None, 'certificate.json does not exist'),
        ('x.json', '{', 'is not JSON'),
        ('x.json', '[]', 'holds no certificate of format 1'),
        ('x.json', '{"format": 9}', 'holds no certificate of format 1'),
        ('absent', None, 'does not exist'),
    ],
)
def test_other_sources_are_refused(name, content, message, tmp_path, capsys):
    path = tmp_path / name
    if name == 'empty':
        path.mkdir()
    elif content is not None:
        path.write_text(content)
    assert message in error_of(capsys, run('recipe_diff', path, CONFIG))
