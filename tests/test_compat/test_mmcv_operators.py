"""The operators of mmcv that torchvision has are served by torchvision."""

import sys
import types

import pytest
import torch

from swin_dense.compat import mmcv_operators
from swin_dense.compat.operators.deform_conv import ConvGeometry, deform_conv


@pytest.fixture
def torchvision(monkeypatch):
    """Provide a torchvision that records its calls and runs our kernels."""
    calls = []
    ops = types.ModuleType('torchvision.ops')

    def record(function):

        def call(*args, **kwargs):
            calls.append((function.__name__, args, kwargs))
            return function(*args, **kwargs)

        setattr(ops, function.__name__, call)

    @record
    def nms(boxes, scores, iou_threshold):
        return mmcv_operators.suppression.nms(boxes, scores, iou_threshold)

    @record
    def roi_align(
        features, boxes, output_size, spatial_scale, sampling_ratio, aligned
    ):
        grid = torch.zeros(len(boxes), features.size(1), *output_size)
        return grid + 3 * features.sum()

    @record
    def deform_conv2d(
        input,
        offset,
        weight,
        bias=None,
        stride=1,
        padding=0,
        dilation=1,
        mask=None,
    ):
        geometry = ConvGeometry(
            stride,
            padding,
            dilation,
            input.size(1) // weight.size(1),
            offset.size(1) // (2 * weight[0, 0].numel()),
        )
        return deform_conv(input, offset, mask, weight, geometry)

    # Only our function is replaced: others keep the installed torchvision.
    monkeypatch.setattr(mmcv_operators, 'torchvision_ops', lambda device: ops)
    return calls


def test_torchvision_serves_nms(torchvision):
    from mmcv.ops import nms

    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 4.1]])
    scores = torch.tensor([0.5, 0.6])
    assert nms(boxes, scores, 0.5)[1].tolist() == [1]
    assert len(torchvision) == 1
    assert nms(boxes, scores, 0.5, offset=1)[1].tolist() == [1]
    assert len(torchvision) == 1  # torchvision has no offset


def test_torchvision_serves_mean_roi_align(torchvision):
    from mmcv.ops import roi_align

    features = torch.rand(1, 2, 4, 4, requires_grad=True)
    rois = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0]])
    output = roi_align(features, rois, (2, 3), 0.5, 2, 'avg', True)
    name, args, _ = torchvision[-1]
    assert name == 'roi_align'
    assert args[2:] == ((2, 3), 0.5, 2, True)
    torch.testing.assert_close(output[0, 0, 0, 0], 3 * features.sum())
    output.sum().backward()
    assert torch.equal(features.grad, torch.full_like(features, 2 * 6 * 3))
    # torchvision has no maximum.
    count = len(torchvision)
    roi_align(features, rois, (2, 3), 0.5, 2, 'max', True).sum().backward()
    assert len(torchvision) == count


def test_torchvision_serves_deformable_convolution(torchvision):
    from mmcv.ops import deform_conv2d, modulated_deform_conv2d

    inputs = torch.rand(2, 4, 5, 5, requires_grad=True)
    weight = torch.rand(6, 2, 3, 3, requires_grad=True)
    offset = torch.rand(2, 36, 3, 4)
    mask = torch.rand(2, 18, 3, 4)
    options = (2, (1, 2), 1, 2, 2)
    outputs = [
        deform_conv2d(inputs, offset, weight, *options),
        modulated_deform_conv2d(inputs, offset, mask, weight, None, *options),
    ]
    for (name, _, kwargs), expected in zip(torchvision, (None, mask)):
        assert name == 'deform_conv2d'
        assert kwargs['stride'] == (2, 2)
        assert kwargs['padding'] == (1, 2)
        assert (kwargs['mask'] is None) == (expected is None)
    for output in outputs:
        output.sum().backward()
    served = [name for name, _, _ in torchvision]
    # Forward twice; backward for v1 in two calls, for v2 in one.
    assert served == ['deform_conv2d'] * 5


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_torchvision_gets_single_precision(torchvision, dtype):
    from mmcv.ops import modulated_deform_conv2d, nms, roi_align

    def values(*shape):
        return torch.rand(*shape, dtype=dtype, requires_grad=True)

    features = values(1, 2, 4, 4)
    rois = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0]], dtype=dtype)
    outputs = [
        roi_align(features, rois, 1, 1.0, 2, 'avg', True),
        modulated_deform_conv2d(
            features,
            values(1, 18, 4, 4),
            values(1, 9, 4, 4),
            values(2, 2, 3, 3),
            None,
            1,
            1,
        ),
    ]
    for output in outputs:
        output.sum().backward()
        assert output.dtype == dtype
    nms(rois[:, 1:], rois[:, 0], 0.5)
    names = [name for name, *_ in torchvision]
    assert names == 2 * ['roi_align', 'deform_conv2d'] + ['nms']
    for _, args, kwargs in torchvision:
        tensors = [
            value
            for value in (*args, *kwargs.values())
            if isinstance(value, torch.Tensor)
        ]
        assert {value.dtype for value in tensors} == {torch.float32}


@pytest.fixture
def trial():
    """Return `torchvision_ops` with an empty cache."""
    mmcv_operators.torchvision_ops.cache_clear()
    yield mmcv_operators.torchvision_ops
    mmcv_operators.torchvision_ops.cache_clear()


@pytest.mark.parametrize(
    'error', [ImportError, RuntimeError, OSError, AttributeError]
)
def test_broken_torchvision_is_passed_over(monkeypatch, trial, error):

    def fail(*args):
        raise error('torchvision::nms does not exist')

    ops = types.ModuleType('torchvision.ops')
    ops.nms = fail
    package = types.ModuleType('torchvision')
    package.ops = ops
    # Nothing else is imported meanwhile that could keep parts of it.
    monkeypatch.setitem(sys.modules, 'torchvision', package)
    monkeypatch.setitem(sys.modules, 'torchvision.ops', ops)
    assert trial('cpu') is None


def test_installed_torchvision_is_used(trial):
    ops = pytest.importorskip(
        'torchvision.ops', reason='torchvision is not installed'
    )
    assert trial('cpu') is ops
