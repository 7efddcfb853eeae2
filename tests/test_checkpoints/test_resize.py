"""Whole checkpoints are resized to another window in their own layout."""

from collections import OrderedDict

import pytest
import torch

from helpers import moe_files
from helpers.window_files import TABLE, model, weights
from swin_dense.backbones import SwinMoE
from swin_dense.checkpoints.files.write import write_checkpoint
from swin_dense.checkpoints.layouts.export import TARGETS, export
from swin_dense.checkpoints.load import load_backbone
from swin_dense.checkpoints.position import (
    resize_absolute_embedding,
    resize_bias_table,
)
from swin_dense.checkpoints.resize import resize_checkpoint
from swin_dense.checkpoints.windows import normalising_window
from swin_dense.ops import relative_index

WRAPPERS = dict(
    bare=lambda file: file,
    official=lambda file: {
        'model': file,
        'epoch': 299,
        'optimizer': {'state': {}},
    },
    openmmlab=lambda file: {
        'meta': {'epoch': 36},
        'state_dict': file,
        'message_hub': {},
    },
    parallel=lambda file: {
        'model': {f'module.{name}': value for name, value in file.items()}
    },
    detector=lambda file: {
        'state_dict': OrderedDict(
            {f'backbone.{name}': value for name, value in file.items()},
            **{'rpn_head.rpn_cls.bias': torch.ones(3)},
        )
    },
)


def tensors(checkpoint):
    inner = checkpoint.get('state_dict') or checkpoint.get('model')
    return checkpoint if inner is None else inner


@pytest.mark.parametrize('wrapper', WRAPPERS)
def test_layout_is_kept(wrapper):
    file = weights('v1', window_size=3)
    source = WRAPPERS[wrapper](file)
    before = dict(tensors(source))
    resized = resize_checkpoint(source, [4])
    after = tensors(resized.checkpoint)
    assert type(after) is type(tensors(source))
    masks = {name for name in before if name.endswith('attn_mask')}
    training = {'optimizer', 'message_hub'} & set(source)
    assert len(masks) == 4
    assert list(after) == [name for name in before if name not in masks]
    assert set(resized.left_out) == training | {
        name.removeprefix('module.') for name in masks
    }
    assert set(resized.checkpoint) == set(source) - training - masks
    for name, value in after.items():
        if name.endswith(TABLE):
            assert torch.equal(value, resize_bias_table(before[name], 3, 4))
        elif name.endswith('relative_position_index'):
            assert torch.equal(value, relative_index((4, 4)))
        else:
            assert value is before[name]
    # The source is not changed.
    assert tensors(source).keys() == before.keys()
    assert all(tensors(source)[name] is before[name] for name in before)


@pytest.mark.parametrize('target', sorted({*TARGETS} - {'mmaction'}))
def test_every_naming(target):
    file = weights('v1', buffers=False, window_size=3)
    # Some layouts lack the norms of outputs.
    file = {k: v for k, v in file.items() if not k.startswith('norm')}
    file = export(file, target)
    resized = resize_checkpoint(file, [5], method='geometric')
    assert resized.checkpoint.keys() == file.keys()
    assert [row[1:] for row in resized.rows] == [
        (heads, (3, 3), (5, 5)) for heads in (1, 2, 2, 4) for _ in range(2)
    ]
    output, reference = model('v1', window_size=5), model('v1', window_size=5)
    assert load_backbone(output, resized.checkpoint).resized == []
    load_backbone(reference, file, method='geometric')
    for name, value in output.state_dict().items():
        if 'norm' not in name:
            assert torch.equal(value, reference.state_dict()[name]), name


def test_metadata_and_flat_buffers():
    file = weights('v1', window_size=(3, 5))
    flat = {
        name: value.flatten() if name.endswith('_index') else value
        for name, value in file.items()
    }
    resized = resize_checkpoint(flat, [4, 2])
    assert resized.metadata == dict(
        method='bicubic', window=[4, 2], from_windows=[[3, 5]]
    )
    name = 'layers.0.blocks.0.attn.relative_position_index'
    assert torch.equal(
        resized.checkpoint[name], relative_index((4, 2)).flatten()
    )


def test_equal_window_is_bit_identical():
    file = weights('v1', window_size=3)
    resized = resize_checkpoint(file, [3])
    for name, value in resized.checkpoint.items():
        assert torch.equal(value, file[name])
    assert all(row.before == row.after for row in resized.rows)


def test_clips():
    file = weights('video', window_size=(2, 3, 3))
    resized = resize_checkpoint(file, [4, 3, 5])
    name = f'layers.2.blocks.1.attn.{TABLE}'
    assert resized.rows[5] == (name, 2, (2, 3, 3), (4, 3, 5))
    assert torch.equal(
        resized.checkpoint[name],
        resize_bias_table(file[name], (2, 3, 3), (4, 3, 5)),
    )
    network = model('video', window_size=(4, 3, 5))
    assert load_backbone(network, resized.checkpoint).notes == []


def test_absolute_embedding():
    file = weights(
        'v1', window_size=3, use_abs_pos_embed=True, pretrain_img_size=32
    )
    value = file['absolute_pos_embed']
    assert (
        resize_checkpoint(file, [4]).checkpoint['absolute_pos_embed'] is value
    )
    resized = resize_checkpoint(file, [4], image_size=[128, 160])
    expected = resize_absolute_embedding(value, (32, 40))
    assert torch.equal(resized.checkpoint['absolute_pos_embed'], expected)
    assert resized.rows[-1] == ('absolute_pos_embed', 0, (8, 8), (32, 40))
    # The layout of the official dense code.
    file['absolute_pos_embed'] = value.mT.unflatten(2, (8, 8))
    dense = resize_checkpoint(file, [4], image_size=[128, 160]).checkpoint
    assert torch.equal(
        dense['absolute_pos_embed'], expected.mT.unflatten(2, (32, 40))
    )


def test_v2_records_its_pretrained_windows():
    file = weights('v2', window_size=8, pretrained_window_sizes=(8, 8, 8, 4))
    resized = resize_checkpoint(file, [12])
    assert resized.metadata == dict(
        method='log-MLP',
        window=[12, 12],
        pretrained_window_sizes=[[8, 8], [8, 8], [8, 8], [4, 4]],
        from_windows=[[8, 8], [4, 4]],
    )
    coordinates = [
        value
        for name, value in resized.checkpoint.items()
        if name.endswith('relative_coords_table')
    ]
    assert [tuple(value.shape) for value in coordinates] == 8 * [
        (1, 23, 23, 2)
    ]
    assert normalising_window(coordinates[0]) == (8, 8)
    assert normalising_window(coordinates[-1]) == (4, 4)
    for name, value in file.items():
        if 'relative' not in name and 'mask' not in name:
            assert resized.checkpoint[name] is value


def test_v2_that_does_not_say_its_window():
    file = weights('v2', buffers=False, window_size=8)
    with pytest.raises(ValueError, match='--from-window'):
        resize_checkpoint(file, [12])
    resized = resize_checkpoint(file, [12], source_window=[8])
    assert resized.metadata['pretrained_window_sizes'] == 4 * [[8, 8]]


@pytest.mark.parametrize(
    'family, kwargs, message',
    [
        ('v1', dict(window=[1]), r'between 2 and 128 tokens, got \(1, 1\)'),
        ('v1', dict(window=[224]), 'it counts patches of the first map'),
        ('v1', dict(window=[0]), 'window must be one positive number or two'),
        ('v1', dict(window=[8, 7, 7]), r'is for images, .*pretrained2d=True'),
        ('video', dict(window=[7]), 'window must be time, height and width'),
        (
            'v1',
            dict(window=[12], image_size=[224]),
            r'beyond the last map, which has \(7, 7\) tokens',
        ),
        ('v1', dict(window=[4], source_window=[5]), 'has 81 rows'),
        ('v1', dict(window=[4], method='linear'), 'bicubic, geometric'),
    ],
)
def test_bad_input(family, kwargs, message):
    with pytest.raises(ValueError, match=message):
        resize_checkpoint(weights(family), **kwargs)


def test_map_that_holds_the_window():
    resize_checkpoint(weights('v1'), [12], image_size=[384])


def test_swin_mlp_has_no_transfer():
    file = {
        name.replace('attn.qkv', 'spatial_mlp'): value
        for name, value in weights('v1', buffers=False).items()
        if '.attn.' not in name or 'qkv' in name
    }
    with pytest.raises(ValueError, match='is a Swin-MLP'):
        resize_checkpoint(file, [12])


def test_swin_moe_records_its_pretrained_windows(tmp_path):
    source = moe_files.make()
    file = dict(model=moe_files.classifier(source))
    result = resize_checkpoint(file, [4])
    assert result.metadata['method'] == 'log-MLP'
    windows = [[3, 3], [3, 3], [2, 2]]
    assert result.metadata['pretrained_window_sizes'] == windows
    path = tmp_path / 'resized.pth'
    write_checkpoint(path, result.checkpoint, result.metadata)
    model = SwinMoE(moe_files.SIZES, num_experts=4, window_size=4)
    load_backbone(model, path)
    attention = model.layers[2].blocks[0].attn
    assert attention.pretrained_window_size == (2, 2)
    # The offset of one token is that of the smaller window.
    before = source.layers[0].blocks[0].attn
    after = model.layers[0].blocks[0].attn
    before.cpb_mlp.pretrained_window_size = (3, 3)
    expected = before.position_bias((3, 3))[:, 0, 1]
    assert torch.allclose(after.position_bias((4, 4))[:, 0, 1], expected)
