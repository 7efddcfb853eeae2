"""Names and shapes of all parameters are those of the released files.

The lists are written out from the description of the network, layer by layer,
not from the modules.
"""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from swin_dense.checkpoints.load import load_model

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'
TOTALS = dict(
    reppoints_v2_swin_t_coco=44_916_202,
    mask_reppoints_v2_swin_t_coco=46_829_231,
)
WIDTH = 256
CORNERS = WIDTH + 6


def build(name):
    init_default_scope('mmdet')
    model = Config.fromfile(CONFIGS / f'{name}.py').model
    model.backbone.init_cfg = None
    with torch.device('meta'):
        return MODELS.build(model)


def conv(name, inputs, outputs, kernel, norm='gn'):
    """A convolution without bias and its norm."""
    shapes = {
        f'{name}.conv.weight': (outputs, inputs, kernel, kernel),
        f'{name}.{norm}.weight': (outputs,),
        f'{name}.{norm}.bias': (outputs,),
    }
    if norm == 'bn':
        shapes[f'{name}.bn.running_mean'] = (outputs,)
        shapes[f'{name}.bn.running_var'] = (outputs,)
        shapes[f'{name}.bn.num_batches_tracked'] = ()
    return shapes


def biased(name, inputs, outputs, kernel):
    """A convolution with bias."""
    return {
        f'{name}.weight': (outputs, inputs, kernel, kernel),
        f'{name}.bias': (outputs,),
    }


def neck():
    shapes = {}
    for i, channels in enumerate([192, 384, 768, 768, 768]):
        shapes.update(conv(f'bi_fpn.0.lateral_convs.{i}', channels, WIDTH, 1))
    for repeat in range(2):
        layer = f'bi_fpn.{repeat}'
        for i in range(4):
            shapes[f'{layer}.lateral_combine.{i}.weights'] = (1, 1, 1, 1, 2)
            inputs = 3 if i < 3 else 2
            shapes[f'{layer}.out_combine.{i}.weights'] = (1, 1, 1, 1, inputs)
            for kind in ('lateral_combine_conv', 'out_combine_conv'):
                shapes.update(conv(f'{layer}.{kind}.{i}', WIDTH, WIDTH, 3))
    return shapes


def corner_pools(name):
    shapes = {
        **conv(f'{name}.p1_conv1', WIDTH, 64, 3),
        **conv(f'{name}.p2_conv1', WIDTH, 64, 3),
        **conv(f'{name}.conv2', WIDTH, WIDTH, 1),
        f'{name}.p_conv1.weight': (WIDTH, 64, 3, 3),
        f'{name}.conv1.weight': (WIDTH, WIDTH, 1, 1),
    }
    for norm in ('p_gn1', 'gn1'):
        shapes[f'{name}.{norm}.weight'] = (WIDTH,)
        shapes[f'{name}.{norm}.bias'] = (WIDTH,)
    return shapes


def head():
    shapes = {}
    for i in range(3):
        shapes.update(conv(f'cls_convs.{i}', WIDTH, WIDTH, 3))
        shapes.update(conv(f'reg_convs.{i}', WIDTH, WIDTH, 3))
    shapes.update(conv('shared_convs.0', WIDTH, WIDTH, 3))
    shapes.update(conv('reppoints_sem_embedding', WIDTH, WIDTH, 1))
    shapes.update(biased('reppoints_sem_out', WIDTH, 80, 1))
    for corner in ('tl', 'br'):
        shapes.update(corner_pools(f'hem_{corner}'))
        name = f'reppoints_hem_{corner}'
        shapes.update(biased(f'{name}_score_out', WIDTH, 1, 3))
        shapes.update(biased(f'{name}_offset_out', WIDTH, 2, 3))
    shapes.update(biased('reppoints_pts_init_conv', WIDTH, WIDTH, 3))
    for kind in ('init', 'refine'):
        shapes.update(biased(f'reppoints_pts_{kind}_out', WIDTH, 18, 1))
    shapes.update(biased('reppoints_cls_out', WIDTH, 80, 1))
    for kind in ('cls', 'pts_refine'):
        shapes[f'reppoints_{kind}_conv.weight'] = (WIDTH, CORNERS, 3, 3)
    return shapes


def mask_layers():
    shapes = biased('controller', WIDTH, 189, 3)
    branch = 'mask_head.branch'
    for i in range(3):
        shapes.update(conv(f'{branch}.refine.{i}', WIDTH, 128, 3, 'bn'))
    for i in range(4):
        shapes.update(conv(f'{branch}.tower.{i}', 128, 128, 3, 'bn'))
    shapes.update(biased(f'{branch}.tower.4', 128, 8, 1))
    shapes['mask_head.head.sizes_of_interest'] = (5,)
    return shapes


def expected(name):
    """All names and shapes but those of the backbone."""
    parts = dict(neck=neck(), bbox_head=head())
    assert len(parts['neck']) == 47 + 32
    assert len(parts['bbox_head']) == 74
    if name.startswith('mask'):
        more = mask_layers()
        assert len(more) == 2 + 18 + 26 + 1
        parts['bbox_head'].update(more)
    return {
        f'{part}.{key}': shape
        for part, shapes in parts.items()
        for key, shape in shapes.items()
    }


@pytest.mark.parametrize('name', TOTALS)
def test_names_shapes_and_parameters(name):
    model = build(name)
    result = {
        key: tuple(value.shape)
        for key, value in model.state_dict().items()
        if not key.startswith('backbone.')
    }
    assert result == expected(name)
    total = sum(parameter.numel() for parameter in model.parameters())
    assert total == TOTALS[name]
    outputs = {name for name, _ in model.backbone.named_children()}
    assert {'norm1', 'norm2', 'norm3'} <= outputs and 'norm0' not in outputs


def test_sizes_of_interest():
    config = Config.fromfile(CONFIGS / 'mask_reppoints_v2_swin_t_coco.py')
    init_default_scope('mmdet')
    head = MODELS.build(config.model.bbox_head)
    sizes = head.mask_head.head.sizes_of_interest
    assert sizes.dtype == torch.int64
    assert sizes.tolist() == [64, 128, 256, 512, 1024]


@pytest.mark.parametrize('name', TOTALS)
def test_a_released_file_loads_unchanged(tmp_path, name):
    """The wrapper, the backbone under official names, buffers included."""
    init_default_scope('mmdet')
    config = Config.fromfile(CONFIGS / f'{name}.py').model
    config.backbone.init_cfg = None
    model = MODELS.build(config)
    state = {
        key: torch.zeros(shape, dtype=torch.long if shape == () else None)
        for key, shape in expected(name).items()
    }
    if name.startswith('mask'):
        key = 'bbox_head.mask_head.head.sizes_of_interest'
        state[key] = torch.tensor([64, 128, 256, 512, 1024])
    for key, value in model.backbone.state_dict().items():
        state[f'backbone.{key}'] = torch.full_like(value, 0.5)
    for stage, blocks in enumerate((2, 2, 6, 2)):
        for block in range(blocks):
            attention = f'backbone.layers.{stage}.blocks.{block}.attn'
            index = torch.zeros(49, 49, dtype=torch.long)
            state[f'{attention}.relative_position_index'] = index
    path = tmp_path / 'released.pth'
    torch.save(dict(meta=dict(mmdet_version='2.11.0'), state_dict=state), path)
    load_model(model, str(path))
    for key, value in model.state_dict().items():
        if 'relative_position_index' not in key:
            torch.testing.assert_close(value.float(), state[key].float())
