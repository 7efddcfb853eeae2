"""A training step of every backbone on a GPU, as on a CPU.

`python -m pytest -m cuda --device cpu` tries these tests without a GPU.
"""

import copy
from functools import partial

import pytest
import torch

from helpers.models import TWO_STAGES, randomize
from swin_dense import kernels
from swin_dense.backbones import (
    CompositeBackbone,
    MiniSwin,
    SwinMLP,
    SwinMoE,
    SwinTransformer,
    SwinTransformer3D,
    SwinTransformerV2,
    SwinTransformerV2_3D,
)

SETTINGS = dict(out_indices=(0, 1), drop_path_rate=0.0)
COMPONENT = dict(
    type='swin_dense.SwinTransformer', **TWO_STAGES, **SETTINGS, window_size=3
)
IMAGE, CLIP = (2, 3, 38, 45), (1, 3, 6, 38, 45)
# Backbone, and the size of its input.
BACKBONES = {
    'V1': (partial(SwinTransformer, **TWO_STAGES, window_size=3), IMAGE),
    'V2': (partial(SwinTransformerV2, TWO_STAGES, window_size=4), IMAGE),
    'video': (
        partial(SwinTransformer3D, TWO_STAGES, window_size=(2, 3, 3)),
        CLIP,
    ),
    'video V2': (
        partial(SwinTransformerV2_3D, TWO_STAGES, window_size=(2, 3, 3)),
        CLIP,
    ),
    'Swin-MLP': (partial(SwinMLP, TWO_STAGES, window_size=3), IMAGE),
    'Mini-Swin': (
        partial(MiniSwin, dict(TWO_STAGES, blocks=(1, 1)), window_size=3),
        IMAGE,
    ),
    'Swin-MoE': (
        partial(
            SwinMoE,
            TWO_STAGES,
            num_experts=4,
            moe_blocks=((1,), ()),
            window_size=3,
        ),
        IMAGE,
    ),
}
# Its router draws noise in training, another on each device.
NOISY = ('Swin-MoE',)
# Of the norm of an output or a gradient.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.02, torch.bfloat16: 0.25}


def step(model, x, dtype):
    """Return the last output, and the gradients of all parameters."""
    kind = x.device.type
    with torch.autocast(kind, dtype, enabled=dtype != torch.float32):
        outputs = model(x)
    sum(out.float().square().mean() for out in outputs).backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    return [outputs[-1].detach(), *grads]


def check(model, x, dtype, device, by_values=True):
    other = copy.deepcopy(model).to(device)
    with kernels.use('plain'):
        expected = step(model, x, torch.float32)
    results = step(other, x.to(device), dtype)
    assert len(results) == len(expected)
    assert {x.device.type for x in results} == {torch.device(device).type}
    for result, other in zip(results, expected):
        assert result.isfinite().all()
        if by_values:
            scale = other.norm().clamp(min=1e-4)
            difference = (result.cpu().float() - other).norm() / scale
            assert difference < TOLERANCE[dtype]


@pytest.mark.cuda
@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('name', BACKBONES)
def test_a_step(name, dtype, device):
    make, size = BACKBONES[name]
    model = randomize(make(**SETTINGS)).train()
    check(model, torch.randn(size), dtype, device, name not in NOISY)


@pytest.mark.cuda
def test_a_step_of_a_composite(device):
    model = randomize(CompositeBackbone([COMPONENT, COMPONENT])).train()
    check(model, torch.randn(IMAGE), torch.float32, device)


@pytest.mark.cuda
@pytest.mark.parametrize('name', BACKBONES)
def test_recomputed_activations(name, device):
    make, size = BACKBONES[name]
    model = randomize(make(**SETTINGS, with_cp=True)).train()
    check(model, torch.randn(size), torch.float32, device, name not in NOISY)


@pytest.mark.cuda
@pytest.mark.parametrize('name', BACKBONES)
def test_evaluation(name, device):
    make, size = BACKBONES[name]
    model, x = randomize(make(**SETTINGS)).eval(), torch.randn(size)
    with torch.inference_mode():
        expected = model(x)
        results = model.to(device)(x.to(device))
        again = model(x.to(device))
    for result, repeated, other in zip(results, again, expected):
        assert torch.equal(result, repeated)
        torch.testing.assert_close(result.cpu(), other, rtol=0, atol=1e-3)
