"""Operators that single models of the hosts need: numbers and gradients."""

import importlib

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

import swin_dense  # noqa: F401  stands in for mmcv's compiled half

KERNELS = 'swin_dense.compat.operators.'
SMALL = [[1.0, 2.0], [3.0, 4.0]]
LARGE = [
    [1.0, 2.0, 5.0, 6.0],
    [3.0, 4.0, 7.0, 8.0],
    [9.0, 10.0, 13.0, 14.0],
    [11.0, 12.0, 15.0, 16.0],
]


def double(*shape):
    return torch.randn(*shape, dtype=torch.float64).requires_grad_()


def pool_sum(pool, features):
    """Pool a map to 2 x 2 bins; return bins and the gradient of their sum."""
    features = torch.tensor([[features]], requires_grad=True)
    last = features.size(2) - 1.0
    output = pool(features, torch.tensor([[0.0, 0.0, 0.0, last, last]]))
    output.backward(torch.ones_like(output))
    return output[0, 0].tolist(), features.grad[0, 0].tolist()


def test_roi_pool_of_mmcvs_tests():
    from mmcv.ops import RoIPool

    pool = RoIPool((2, 2), 1.0)
    assert pool_sum(pool, SMALL) == (SMALL, [[1.0, 1.0], [1.0, 1.0]])
    assert pool_sum(pool, LARGE) == (
        [[4.0, 8.0], [12.0, 16.0]],
        [
            [0.0, 0.0, 0.0, 0.0],
            [0.0, 1.0, 0.0, 1.0],
            [0.0, 0.0, 0.0, 0.0],
            [0.0, 1.0, 0.0, 1.0],
        ],
    )


def test_deform_roi_pool_of_mmcvs_tests():
    from mmcv.ops import DeformRoIPoolPack

    pool = DeformRoIPoolPack((2, 2), 1, 4, spatial_scale=1.0, sampling_ratio=2)
    assert pool_sum(pool, SMALL) == (
        [[1.0, 1.25], [1.5, 1.75]],
        [[3.0625, 0.4375], [0.4375, 0.0625]],
    )
    output, grad = pool_sum(pool, LARGE)
    assert output == [[1.9375, 4.75], [7.5625, 10.375]]
    edge = [0.47265625, 0.4296875, 0.4296875, 0.04296875]
    middle = [0.4296875, 0.390625, 0.390625, 0.0390625]
    last = [0.04296875, 0.0390625, 0.0390625, 0.00390625]
    assert grad == [edge, middle, middle, last]


def test_nms_match_of_mmcvs_tests():
    from mmcv.ops import nms_match

    dets = np.array(
        [
            [49.1, 32.4, 51.0, 35.9, 0.9],
            [49.3, 32.9, 51.0, 35.3, 0.9],
            [35.3, 11.5, 39.9, 14.5, 0.4],
            [35.2, 11.7, 39.7, 15.7, 0.3],
        ],
        'f4',
    )
    groups = nms_match(dets, 0.6)
    assert [group.tolist() for group in groups] == [[0, 1], [2, 3]]
    groups = nms_match(torch.from_numpy(dets), 0.6)
    assert [group.tolist() for group in groups] == [[0, 1], [2, 3]]
    assert nms_match(np.array([]), 0.6) == []


def test_tin_shift_of_mmcvs_tests():
    from mmcv.ops import tin_shift

    frames = torch.tensor(
        [[0.88573, 0.97408, 0.03081, 0.75418, 0.33279, 0.70694, 0.13547,
          0.40175],
         [0.57444, 0.39897, 0.93283, 0.92527, 0.31664, 0.19577, 0.08116,
          0.43456],
         [0.81981, 0.98062, 0.10412, 0.15022, 0.40986, 0.71150, 0.83851,
          0.09751],
         [0.80680, 0.17821, 0.50658, 0.04178, 0.84984, 0.32194, 0.75628,
          0.27994]])  # fmt: skip
    clip = frames[None, ..., None].requires_grad_()
    output = tin_shift(clip, torch.tensor([[1, 0, 1, -2]], dtype=torch.int))
    output.backward(torch.ones_like(output))
    torch.testing.assert_close(output[0, ..., 0], torch.tensor(
        [[0., 0., 0.03081, 0.75418, 0., 0., 0.83851, 0.09751],
         [0.88573, 0.97408, 0.93283, 0.92527, 0.33279, 0.70694, 0.75628,
          0.27994],
         [0.57444, 0.39897, 0.10412, 0.15022, 0.31664, 0.19577, 0., 0.],
         [0.81981, 0.98062, 0.50658, 0.04178, 0.40986, 0.71150, 0., 0.]
         ]))  # fmt: skip
    # Moved on, not back: see `tin_shift_backward`.
    assert clip.grad[0, ..., 0].tolist() == [
        [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0],
        [1.0] * 8,
        [1.0] * 6 + [0.0, 0.0],
        [1.0] * 6 + [0.0, 0.0],
    ]


@pytest.mark.parametrize('groups, scale', [(1, 2), (2, 1)])
def test_carafe_gradient(groups, scale):
    from mmcv.ops import carafe

    features = double(1, 2, 3, 2)
    masks = double(1, 9 * groups, 3 * scale, 2 * scale)
    assert gradcheck(
        lambda *x: carafe(*x, 3, groups, scale), (features, masks)
    )


def test_carafe_with_one_tap_repeats_pixels():
    from mmcv.ops import carafe

    features = torch.arange(4.0).view(1, 1, 2, 2)
    masks = torch.zeros(1, 9, 4, 4)
    masks[:, 4] = 1  # the centre of the kernel
    assert torch.equal(
        carafe(features, masks, 3, 1, 2),
        torch.nn.functional.interpolate(features, scale_factor=2.0),
    )
    masks = masks.roll(1, 1)  # the pixel to the right of it
    assert carafe(features, masks, 3, 1, 2)[0, 0, ::2, ::2].tolist() == [
        [1., 0.], [3., 0.]]  # fmt: skip


@pytest.mark.parametrize('kind', ['collect', 'distribute'])
def test_psa_mask_gradient(kind):
    from mmcv.ops import PSAMask

    assert gradcheck(PSAMask(kind, (3, 5)), (double(2, 15, 3, 4),))


def test_psa_mask_distributes_what_it_collects_transposed():
    from mmcv.ops import PSAMask

    window = torch.randn(2, 35, 4, 3)
    collected, distributed = (
        PSAMask(kind, (7, 5))(window).flatten(2)
        for kind in ('collect', 'distribute')
    )
    assert torch.equal(collected.transpose(1, 2), distributed)
    # A pixel's own attention stands in the middle of its window.
    middle = window[:, 3 * 5 + 2].flatten(1)
    assert torch.equal(collected.diagonal(dim1=1, dim2=2), middle)


def test_roi_pool_gradient():
    from mmcv.ops import roi_pool

    rois = torch.tensor(
        [[0.0, 0.0, 0.0, 3.0, 5.0], [1.0, 1.0, 2.0, 2.0, 4.0]]
    ).double()
    assert gradcheck(
        lambda x: roi_pool(x, rois, (2, 3), 1.0), (double(2, 2, 6, 5),)
    )


def test_roi_pool_of_a_reversed_box_gives_zeros():
    from mmcv.ops import roi_pool

    features = torch.rand(1, 2, 8, 8, requires_grad=True)
    output = roi_pool(
        features, torch.tensor([[0.0, 6.0, 6.0, 2.0, 2.0]]), 2, 1.0
    )
    output.sum().backward()
    assert not output.any() and not features.grad.any()


def test_deform_roi_pool_gradient():
    """The gradient is the derivative only away from the border."""
    from mmcv.ops import deform_roi_pool

    rois = torch.tensor(
        [[0.0, 2.0, 2.0, 6.0, 7.0], [0.0, 3.0, 1.5, 7.0, 7.0]]
    ).double()
    offset = (torch.rand(2, 2, 2, 2, dtype=torch.float64) / 9).requires_grad_()
    for ratio in (0, 2):
        assert gradcheck(
            lambda x, y, ratio=ratio: deform_roi_pool(
                x, rois, y, 2, 1.0, ratio, 0.5
            ),
            (double(1, 2, 10, 10), offset),
        )


def test_deform_roi_pool_without_offset_is_roi_align():
    from mmcv.ops import deform_roi_pool, roi_align

    features = torch.randn(2, 3, 8, 9)
    rois = torch.tensor(
        [[0.0, -3.0, 2.0, 20.0, 30.0], [1.0, 5.0, 5.0, 12.0, 9.0]]
    )
    torch.testing.assert_close(
        deform_roi_pool(features, rois, None, 3, 0.25, 2),
        roi_align(features, rois, 3, 0.25, 2, 'avg', True),
    )


def test_deform_roi_pool_follows_its_offset():
    """On a ramp along x, a bin moves by gamma times the width of the box."""
    from mmcv.ops import deform_roi_pool

    features = torch.arange(20.0).expand(1, 1, 20, 20)
    offset = torch.zeros(1, 2, 1, 1)
    box = torch.tensor([[0.0, 4.0, 4.0, 9.0, 12.0]])
    still = deform_roi_pool(features, box, offset, 1, 1.0, 2, 0.2)
    offset[0, 0] = 3.0
    moved = deform_roi_pool(features, box, offset, 1, 1.0, 2, 0.2)
    torch.testing.assert_close(moved - still, torch.full((1, 1, 1, 1), 3.0))


def test_masked_convolution_is_the_convolution_at_the_mask():
    from mmcv.ops import MaskedConv2d

    layer = MaskedConv2d(3, 2, 3, padding=1)
    inputs = torch.randn(1, 3, 5, 6)
    mask = torch.rand(1, 5, 6) > 0.5
    torch.testing.assert_close(layer(inputs, mask), layer(inputs) * mask)


def test_masked_convolution_outside_its_output_says_so():
    from mmcv.ops import MaskedConv2d

    layer = MaskedConv2d(3, 2, 3)  # no padding: the output is smaller
    with pytest.raises(ValueError, match='output of 3 x 4 pixels: pad'):
        layer(torch.randn(1, 3, 5, 6), torch.ones(1, 5, 6))


@pytest.mark.parametrize('mode', ['default', 'N'])
def test_synchronized_batch_norm_of_one_process_is_batch_norm(mode):
    from mmcv.ops.sync_bn import SyncBatchNormFunction

    inputs = torch.randn(3, 4, 5, 2) * 2 + 1
    leaves = [inputs, torch.rand(4), torch.rand(4)]
    grad = torch.randn_like(inputs)

    def run(norm):
        x, weight, bias = (leaf.clone().requires_grad_() for leaf in leaves)
        mean, var = torch.zeros(4), torch.ones(4)
        output = norm(x, mean, var, weight, bias)
        return [
            output,
            mean,
            var,
            *torch.autograd.grad(output, (x, weight, bias), grad),
        ]

    served = run(
        lambda *x: SyncBatchNormFunction.apply(*x, 0.1, 1e-5, None, 1, mode)
    )
    expected = run(
        lambda *x: torch.nn.functional.batch_norm(*x, True, 0.1, 1e-5)
    )
    for value, other in zip(served, expected):
        torch.testing.assert_close(value, other, rtol=1e-5, atol=1e-5)


def test_chunks_do_not_change_roi_pools(monkeypatch):
    from mmcv.ops import deform_roi_pool, roi_pool

    corner = torch.rand(30, 2) * 30
    rois = torch.cat(
        [
            torch.randint(2, (30, 1)).float(),
            corner,
            corner + torch.rand(30, 2) * 30,
        ],
        1,
    )
    leaves = [torch.randn(2, 3, 9, 8), torch.randn(30, 2, 3, 3)]

    def run():
        inputs = [leaf.double().requires_grad_() for leaf in leaves]
        output = roi_pool(inputs[0], rois.double(), 3, 0.2)
        output = output + deform_roi_pool(
            inputs[0], rois.double(), inputs[1], 3, 0.2
        )
        return output.detach(), *torch.autograd.grad(
            output.square().sum(), inputs
        )

    whole = run()
    for name in ('roi_align', 'roi_pool', 'sampling'):
        module = importlib.import_module(KERNELS + name)
        monkeypatch.setattr(module, 'MAX_ELEMENTS', 1)
    for chunked, expected in zip(run(), whole):
        torch.testing.assert_close(chunked, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    from mmcv.ops import PSAMask, carafe, deform_roi_pool, roi_pool

    rois = torch.tensor([[0.0, 1.0, 1.0, 6.0, 7.0], [0.0, 2.0, 0.0, 5.0, 5.0]])
    tensors = [
        torch.rand(1, 4, 8, 8),
        torch.rand(1, 9, 16, 16),
        torch.rand(2, 2, 2, 2),
        torch.rand(1, 9, 4, 4),
    ]

    def run(kind):
        leaves = [x.to(dtype).to(kind).requires_grad_() for x in tensors]
        outputs = [
            carafe(*leaves[:2], 3, 1, 2),
            deform_roi_pool(leaves[0], rois.to(kind), leaves[2], 2, 1.0, 2),
            roi_pool(leaves[0], rois.to(kind), 2, 1.0),
            PSAMask('collect', (3, 3))(leaves[3]),
        ]
        assert {output.dtype for output in outputs} == {kind}
        total = sum(output.mean() for output in outputs)
        grads = torch.autograd.grad(total, leaves)
        return [value.float() for value in (*outputs, *grads)]

    tolerance = 2e-3 if dtype is torch.float16 else 2e-2
    for low, full in zip(run(dtype), run(torch.float32)):
        torch.testing.assert_close(
            low, full, rtol=4 * tolerance, atol=tolerance
        )
