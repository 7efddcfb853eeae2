"""Weights must be floating-point numbers, and finite."""

import pytest
import torch
from mmengine.model import BaseModule
from torch import nn

from helpers.swin_files import SIZES, classifier_file, random_swin
from swin_dense.backbones import SwinTransformer
from swin_dense.checkpoints.convert import convert_checkpoint
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.finite import is_finite
from swin_dense.checkpoints.load import load_backbone, load_model
from swin_dense.checkpoints.resize import resize_checkpoint

NAME = 'layers.1.blocks.0.mlp.fc1.weight'
BAD = [torch.nan, torch.inf, -torch.inf]


def broken(number):
    """Return a checkpoint of which one number is replaced."""
    checkpoint = classifier_file(random_swin())
    checkpoint['model'][NAME][3, 5] = number
    return checkpoint


@pytest.mark.parametrize(
    'dtype',
    [
        torch.float32,
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.complex64,
    ],
)
@pytest.mark.parametrize('number', BAD)
def test_is_finite(dtype, number):
    value = torch.linspace(-1, 1, 1001).to(dtype)
    assert is_finite(value)
    value[500] = number
    assert not is_finite(value)
    assert is_finite(value[:0])


def test_is_finite_in_the_type_of_the_model():
    value = torch.tensor([1e300], dtype=torch.float64)
    assert is_finite(value) and not is_finite(value, torch.float32)
    value = torch.tensor([1e5])
    assert is_finite(value) and not is_finite(value, torch.float16)


@pytest.mark.parametrize('number', BAD)
def test_backbones(number):
    model = SwinTransformer(**SIZES)
    before = model.layers[1].blocks[0].mlp.fc1.weight.clone()
    with pytest.raises(CheckpointError, match=f'1 of .* tensors .{NAME}'):
        load_backbone(model, broken(number))
    assert torch.equal(model.layers[1].blocks[0].mlp.fc1.weight, before)
    load_backbone(model, broken(number), allow_nonfinite=['layers.1.*.weight'])
    assert not is_finite(model.layers[1].blocks[0].mlp.fc1.weight)


def test_backbones_of_a_config(tmp_path):
    torch.save(broken(torch.nan), tmp_path / 'a.pth')
    cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'))
    with pytest.raises(CheckpointError, match='a.pth .* holds NaN'):
        SwinTransformer(**SIZES, init_cfg=cfg).init_weights()
    cfg['allow_nonfinite'] = ['*']
    SwinTransformer(**SIZES, init_cfg=cfg).init_weights()


def test_integers_for_floating_parameters():
    checkpoint = classifier_file(random_swin())
    checkpoint['model'][NAME] = checkpoint['model'][NAME].long()
    model = SwinTransformer(**SIZES)
    with pytest.raises(CheckpointError, match=f'{NAME}: torch.int64 in the '):
        load_backbone(model, checkpoint)
    for change in (convert_checkpoint, resize_checkpoint):
        arguments = ('timm',) if change is convert_checkpoint else ([7],)
        with pytest.raises(CheckpointError, match=f'{NAME}: torch.int64'):
            change(checkpoint, *arguments)


@pytest.mark.parametrize('number', BAD)
def test_conversion_and_resizing(number):
    with pytest.raises(CheckpointError, match=f'a.pth.* holds NaN.*{NAME}'):
        convert_checkpoint(broken(number), 'timm', label='a.pth')
    with pytest.raises(CheckpointError, match=f'a.pth holds NaN.*{NAME}'):
        resize_checkpoint(broken(number), [5], label='a.pth')
    allowed = dict(allow_nonfinite=[NAME])
    assert convert_checkpoint(broken(number), 'timm', **allowed).weights
    assert resize_checkpoint(broken(number), [5], **allowed).rows


class Head(BaseModule):
    """A layer with a norm, which counts its batches."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)
        self.norm = nn.BatchNorm2d(2)


@pytest.mark.parametrize(
    'name, value, reason',
    [
        ('conv.weight', torch.full((2, 2, 1, 1), torch.nan), 'holds NaN'),
        ('norm.running_var', torch.tensor([1, torch.inf]), 'holds NaN'),
        ('conv.bias', torch.ones(2).int(), 'torch.int32 in the file'),
        ('conv.bias', torch.ones(2).bool(), 'torch.bool in the file'),
        ('conv.bias', torch.ones(2, dtype=torch.complex64), 'complex64'),
        (
            'conv.bias',
            torch.tensor([1.0, 1e300], dtype=torch.float64),
            'infinite',
        ),
        ('norm.num_batches_tracked', torch.tensor(1.0), 'torch.float32 in'),
    ],
)
def test_whole_models(name, value, reason):
    weights = {**Head().state_dict(), name: value}
    model = Head()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=f'a.pth.*{reason}') as error:
        load_model(model, weights, label='a.pth')
    assert name in str(error.value)
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[key])
    if reason in ('holds NaN', 'infinite'):
        load_model(model, weights, allow_nonfinite=[name])


def test_half_precision_serves():
    weights = {
        k: v.half() if v.is_floating_point() else v
        for k, v in Head().state_dict().items()
    }
    load_model(Head(), weights)
