"""Gradients, memory, types and repeatability of the operators' kernels."""

import importlib

import pytest
import torch
from torch.autograd import gradcheck

import swin_dense  # noqa: F401  stands in for mmcv's compiled half
from swin_dense.compat.operators import nms as suppression
from swin_dense.compat.operators import roi_align, sampling

pytestmark = pytest.mark.usefixtures('server')
KERNELS = 'swin_dense.compat.operators.'
# Half and bfloat16 carry about three and two digits.
HALF_TOLERANCE = {torch.float16: 2e-3, torch.bfloat16: 2e-2}


def double(*shape, scale=1.0, shift=0.0):
    values = torch.randn(*shape, dtype=torch.float64) * scale + shift
    return values.requires_grad_()


def some_rois(count, images=2, size=40):
    corner = torch.rand(count, 2, dtype=torch.float64) * size
    extent = torch.rand(count, 2, dtype=torch.float64) * size
    image = torch.randint(images, (count, 1))
    return torch.cat([image, corner, corner + extent], 1)


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('ratio', [0, 2])
def test_roi_align_gradient(mode, ratio):
    from mmcv.ops import roi_align

    features = double(2, 2, 6, 7)
    rois = some_rois(5)
    assert gradcheck(
        lambda x: roi_align(x, rois, (2, 3), 0.2, ratio, mode, True),
        (features,),
    )


@pytest.mark.parametrize('groups, deform_groups', [(1, 1), (2, 1), (1, 2)])
def test_deformable_convolution_gradient(groups, deform_groups):
    from mmcv.ops import deform_conv2d, modulated_deform_conv2d

    inputs = double(2, 4, 3, 4)
    offset = double(2, 8 * deform_groups, 4, 2)
    mask = double(2, 4 * deform_groups, 4, 2)
    weight = double(4, 4 // groups, 2, 2)
    options = ((1, 2), (1, 0), 1, groups, deform_groups)
    assert gradcheck(
        lambda *tensors: deform_conv2d(*tensors, *options),
        (inputs, offset, weight),
    )
    assert gradcheck(
        lambda *tensors: modulated_deform_conv2d(*tensors, *options),
        (inputs, offset, mask, weight, double(4)),
    )


def test_deformable_attention_gradient():
    from mmcv.ops.multi_scale_deform_attn import (
        MultiScaleDeformableAttnFunction,
    )

    shapes = torch.tensor([[3, 4], [2, 2]])
    starts = torch.tensor([0, 12])
    assert gradcheck(
        lambda value, locations, weights: (
            MultiScaleDeformableAttnFunction.apply(
                value, shapes, starts, locations, weights, 64
            )
        ),
        (
            double(2, 16, 2, 3),
            double(2, 3, 2, 2, 2, 2, scale=0.3, shift=0.5),
            double(2, 3, 2, 2, 2),
        ),
    )


@pytest.mark.parametrize('gamma', [0.0, 2.0])
def test_focal_loss_gradient(gamma):
    from mmcv.ops import sigmoid_focal_loss, softmax_focal_loss

    weight = torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64)
    for loss, background in (
        (sigmoid_focal_loss, 3),
        (softmax_focal_loss, -1),
    ):
        target = torch.tensor([0, 1, 2, background])
        assert gradcheck(
            lambda x, loss=loss, target=target: loss(
                x, target, gamma, 0.6, weight, 'mean'
            ),
            (double(4, 3),),
        )


def test_sigmoid_focal_loss_of_sure_answers_is_exact():
    from mmcv.ops import sigmoid_focal_loss

    logits = torch.tensor([[30.0, -30.0], [-200.0, 200.0]], requires_grad=True)
    loss = sigmoid_focal_loss(
        logits, torch.tensor([1, 0]), 0.0, 0.5, None, 'none'
    )
    torch.testing.assert_close(
        loss, torch.tensor([[15.0, 15.0], [100.0, 100.0]])
    )
    loss.sum().backward()
    torch.testing.assert_close(
        logits.grad, torch.tensor([[0.5, -0.5], [-0.5, 0.5]])
    )


def shrink_memory(monkeypatch, elements):
    """Make every operator cut its work into the smallest chunks."""
    for name in ('sampling', 'roi_align', 'deform_conv', 'ms_deform_attn'):
        module = importlib.import_module(KERNELS + name)
        monkeypatch.setattr(module, 'MAX_ELEMENTS', elements)


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_chunks_do_not_change_roi_align(monkeypatch, mode):
    from mmcv.ops import roi_align

    rois = some_rois(30)

    def run():
        features = torch.linspace(-1, 1, 2 * 3 * 8 * 8).double().sin()
        features = features.view(2, 3, 8, 8).requires_grad_()
        output = roi_align(features, rois, 4, 0.2, 0, mode, True)
        output.square().sum().backward()
        return output.detach(), features.grad

    whole = run()
    shrink_memory(monkeypatch, 1)
    for expected, output in zip(whole, run()):
        torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)


def test_chunks_do_not_change_convolution_and_attention(monkeypatch):
    from mmcv.ops import deform_conv2d
    from mmcv.ops.multi_scale_deform_attn import (
        MultiScaleDeformableAttnFunction,
    )

    leaves = [
        double(3, 2, 5, 5),
        double(3, 18, 5, 5),
        double(4, 2, 3, 3),
        double(1, 12, 2, 4),
        double(1, 7, 2, 1, 2, 2, scale=0.3, shift=0.5),
        double(1, 7, 2, 1, 2),
    ]

    def run():
        convolved = deform_conv2d(*leaves[:3], 1, 1)
        value, locations, weights = leaves[3:]
        attended = MultiScaleDeformableAttnFunction.apply(
            value,
            torch.tensor([[3, 4]]),
            torch.tensor([0]),
            locations,
            weights,
            64,
        )
        result = convolved.square().sum() + attended.square().sum()
        return torch.autograd.grad(result, leaves)

    whole = run()
    shrink_memory(monkeypatch, 1)
    for expected, output in zip(whole, run()):
        torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)


def test_roi_align_repeats_bit_by_bit():
    from mmcv.ops import roi_align

    torch.manual_seed(1)
    features = torch.randn(2, 8, 32, 32, requires_grad=True)
    rois = some_rois(200, size=80).float()
    runs = []
    for _ in range(2):
        features.grad = None
        output = roi_align(features, rois, 7, 0.25, 0, 'avg', True)
        output.square().sum().backward()
        runs.append((output.detach(), features.grad))
    assert torch.equal(runs[0][0], runs[1][0])
    assert torch.equal(runs[0][1], runs[1][1])


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    from mmcv.ops import (
        deform_conv2d,
        nms,
        roi_align,
        sigmoid_focal_loss,
        soft_nms,
    )

    rois = some_rois(6).float().to(dtype)
    tensors = [
        torch.rand(2, 3, 8, 8),
        torch.rand(2, 18, 8, 8),
        torch.rand(4, 3, 3, 3),
    ]

    def run(kind):
        leaves = [
            value.to(dtype).to(kind).requires_grad_() for value in tensors
        ]
        pooled = roi_align(leaves[0], rois.to(kind), 3, 0.2, 0, 'avg', True)
        convolved = deform_conv2d(*leaves, 1, 1)
        loss = sigmoid_focal_loss(
            pooled[:, :, 0, 0], torch.tensor([0, 1, 2, 3, 0, 1]), 2.0, 0.25
        )
        assert {pooled.dtype, convolved.dtype, loss.dtype} == {kind}
        grads = torch.autograd.grad(
            pooled.mean() + convolved.mean() + loss, leaves
        )
        return [value.float() for value in (pooled, convolved, loss, *grads)]

    tolerance = HALF_TOLERANCE[dtype]
    for low, full in zip(run(dtype), run(torch.float32)):
        torch.testing.assert_close(
            low, full, rtol=4 * tolerance, atol=tolerance
        )
    boxes = torch.tensor(
        [[0.0, 0.0, 8.0, 8.0], [1.0, 0.0, 9.0, 8.0], [20.0, 0.0, 30.0, 9.0]],
        dtype=dtype,
    )
    scores = torch.tensor([0.5, 0.75, 0.25], dtype=dtype)
    assert nms(boxes, scores, 0.5)[1].tolist() == [1, 2]
    assert soft_nms(boxes, scores, 0.5, min_score=0.3)[1].tolist() == [1]


def test_convolution_keeps_float32_under_autocast():
    from mmcv.ops import deform_conv2d

    inputs, offset, weight = (
        torch.rand(1, 2, 5, 5),
        torch.rand(1, 18, 5, 5),
        torch.rand(3, 2, 3, 3),
    )
    plain = deform_conv2d(inputs, offset, weight, 1, 1)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        mixed = deform_conv2d(inputs, offset, weight, 1, 1)
    assert torch.equal(mixed, plain)


def greedy_nms(boxes, scores, threshold):
    """Return the kept boxes by greedy suppression, box by box."""
    kept = []
    for i in scores.argsort(descending=True).tolist():
        x1, y1, x2, y2 = boxes[i].tolist()
        for j in kept:
            a1, b1, a2, b2 = boxes[j].tolist()
            inside = max(0.0, min(x2, a2) - max(x1, a1)) * max(
                0.0, min(y2, b2) - max(y1, b1)
            )
            both = (x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - inside
            if inside > threshold * both:
                break
        else:
            kept.append(i)
    return kept


@pytest.mark.parametrize('chunk, tile', [(1, 1), (3, 2), (16, 7), (256, 2048)])
def test_sizes_of_chunks_do_not_change_nms(monkeypatch, chunk, tile):
    monkeypatch.setattr(suppression, 'CHUNK', chunk)
    monkeypatch.setattr(suppression, 'TILE', tile)
    boxes = torch.rand(90, 4, dtype=torch.float64) * 30
    boxes[:, 2:] += boxes[:, :2]
    scores = torch.rand(90, dtype=torch.float64)
    for threshold in (0.1, 0.5):
        kept = suppression.nms(boxes, scores, threshold)
        assert kept.tolist() == greedy_nms(boxes, scores, threshold)


def test_overlap_of_exactly_the_threshold():
    from mmcv.ops import nms, soft_nms

    boxes = torch.tensor(
        [[0.0, 0.0, 4.0, 8.0], [0.0, 0.0, 4.0, 4.0]]
    )  # overlap 1/2
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.5)[1].tolist() == [0, 1]
    assert nms(boxes, scores, 0.499)[1].tolist() == [0]
    # Soft-NMS acts from the threshold on, as the compiled operator does.
    assert soft_nms(boxes, scores, 0.5, method='naive')[1].tolist() == [0]
    lowered, _ = soft_nms(boxes, scores, 0.5, method='linear')
    torch.testing.assert_close(lowered[:, 4], torch.tensor([0.9, 0.4]))
    lowered, _ = soft_nms(boxes, scores, 0.501, method='linear')
    assert torch.equal(lowered[:, 4], scores)


def test_nms_takes_equal_scores_in_their_order():
    boxes = torch.tensor([[0.0, 0.0, 4.0, 8.0], [0.0, 0.0, 4.0, 7.0]]).repeat(
        50, 1
    )
    boxes += 10 * torch.arange(50.0).repeat_interleave(2)[:, None]
    kept = suppression.nms(boxes, torch.full((100,), 0.5), 0.5)
    assert kept.tolist() == list(range(0, 100, 2))


def test_nms_leaves_inputs_alone():
    from mmcv.ops import nms, soft_nms

    boxes = torch.rand(50, 4)
    boxes[:, 2:] += boxes[:, :2]
    scores = torch.rand(50)
    copies = boxes.clone(), scores.clone()
    nms(boxes, scores, 0.5)
    soft_nms(boxes, scores)
    assert torch.equal(boxes, copies[0]) and torch.equal(scores, copies[1])


def test_soft_nms_of_boxes_without_area_keeps_scores():
    from mmcv.ops import soft_nms

    scores = torch.tensor([0.9, 0.8, 0.7])
    dets, kept = soft_nms(torch.zeros(3, 4), scores, method='gaussian')
    assert kept.tolist() == [0, 1, 2]
    assert torch.equal(dets[:, 4], scores)


def test_reversed_box_gives_zeros():
    from mmcv.ops import roi_align

    features = torch.rand(1, 2, 8, 8, requires_grad=True)
    rois = torch.tensor([[0.0, 6.0, 6.0, 2.0, 2.0]])
    output = roi_align(features, rois, 2, 1.0, 0, 'avg', True)
    output.sum().backward()
    assert not output.any() and not features.grad.any()


def test_mean_of_a_ramp_is_the_centre_of_the_bin():
    # A linear map is interpolated exactly, so bins have known means.
    x = torch.arange(8.0).expand(1, 1, 8, 8)
    rois = torch.tensor([[0.0, 1.5, 1.5, 5.5, 5.5]])
    geometry = roi_align.RoIGeometry((1, 2), 1.0, 2, True)
    output = roi_align.mean_forward(x, rois, geometry)
    assert output.flatten().tolist() == [2.0, 4.0]


def test_adding_rows_is_the_transpose_of_summing_them():
    table = double(20, 3)
    index = torch.randint(20, (15, 4))
    weight = torch.randn(15, 4, dtype=torch.float64)
    rows = torch.randn(15, 3, dtype=torch.float64)
    summed = sampling.sum_rows(table, index, weight)
    added = torch.zeros(20, 3, dtype=torch.float64)
    sampling.add_rows(added, index, weight, rows)
    (expected,) = torch.autograd.grad(summed, table, rows)
    torch.testing.assert_close(added, expected)
