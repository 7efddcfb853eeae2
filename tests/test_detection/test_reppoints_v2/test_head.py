"""The heads as a whole: losses, gradients, precision, empty images."""

import math

import pytest
import torch
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData

from helpers.reppoints import BASES, CLASSES, batch, build, objects
from swin_dense.detection.reppoints_v2.targets import (
    corner_radii,
    corner_targets,
    semantic_targets,
)

FULL = dict(boxes=[[10.3, 8, 50.2, 40], [60, 20, 80, 60]], labels=[0, 2])
STRIDES = [8, 16, 32]


def full():
    return objects(**FULL)


def empty():
    return objects([], [])


def prepared(model, *instances, **options):
    return model.data_preprocessor(batch(*instances, **options), True)


def train_step(model, data):
    losses = model(**data, mode='loss')
    total, _ = model.parse_losses(losses)
    model.zero_grad()
    total.backward()
    return losses


@pytest.mark.parametrize('kind', BASES)
@pytest.mark.parametrize('images', ['full', 'none', 'both', 'two empty'])
def test_losses_and_gradients_are_finite(kind, images):
    """Also without any box, where the released code divides by zero."""
    instances = {
        'full': [full()],
        'none': [empty()],
        'both': [full(), empty()],
        'two empty': [empty(), empty()],
    }[images]
    model = build(kind).train()
    losses = train_step(model, prepared(model, *instances))
    names = {'loss_pts_init', 'loss_pts_refine', 'loss_cls', 'loss_heatmap'}
    names |= {'loss_offset', 'loss_sem'}
    if kind == 'mask_reppoints_v2':
        names |= {f'loss_mask_{i}' for i in range(3)}
        assert losses['loss_mask_0'] == 0
        assert (losses['loss_mask_2'] > 0) == (
            'full' in images or images == 'both'
        )
    assert {*losses} == names
    for name, loss in losses.items():
        assert torch.isfinite(loss), name
    for key, parameter in model.named_parameters():
        # A gradient for all: data-parallel training waits for each.
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key


def slow_losses(head, outputs, result, metas):
    """All losses of boxes by the formulas, level by level."""
    cls, init, refine, scores, offsets, foreground = outputs
    names = ('init', 'refine', 'cls', 'heatmap', 'offset')
    sums = dict.fromkeys(names, 0.0)
    image_objects = []
    for image, instances in enumerate(result):
        priors, points, levels = [], [], []
        for level, stride in enumerate(STRIDES):
            height, width = cls[level].shape[-2:]
            for i in range(height):
                for j in range(width):
                    shift = torch.tensor([j, i, j, i]).float()
                    place = [
                        maps[level][image, [1, 0, 3, 2], i, j] + shift
                        for maps in (init, refine)
                    ]
                    priors.append(torch.stack(place) * stride)
                    points.append([j * stride, i * stride, stride])
                    levels.append((level, i, j))
        priors = torch.stack(priors, 1)  # (2, N, 4)
        matches = [
            head.init_assigner.assign(
                InstanceData(priors=torch.tensor(points).float()), instances
            ).gt_inds,
            head.refine_assigner.assign(
                InstanceData(priors=priors[0].detach()),
                [c.shape[-2] * c.shape[-1] for c in cls],
                instances,
            ).gt_inds,
        ]
        image_objects.append((priors, matches, levels))
    counts = [
        sum(max(int((m[stage] > 0).sum()), 1) for _, m, _ in image_objects)
        for stage in range(2)
    ]
    for image, (priors, matches, levels) in enumerate(image_objects):
        for n, (level, i, j) in enumerate(levels):
            scale = 4 * STRIDES[level]
            for stage, weight in ((0, 1.0), (1, 2.0)):
                match = int(matches[stage][n])
                if match:
                    target = result[image].bboxes[match - 1]
                    loss = head.loss_bbox_init(
                        priors[stage, n, None] / scale, target[None] / scale
                    )
                    sums[names[stage]] += weight * loss / counts[stage]
            match = int(matches[1][n])
            for label in range(CLASSES):
                logit = cls[level][image, label, i, j]
                target = 0.0
                if match and result[image].labels[match - 1] == label:
                    target = bbox_overlaps(
                        priors[1, n, None],
                        result[image].bboxes[match - 1, None],
                    ).item()
                p = logit.sigmoid().item()
                entropy = -target * math.log(p)
                entropy -= (1 - target) * math.log(1 - p)
                sums['cls'] += entropy * abs(target - p) ** 2 / counts[1]
    for kind in range(2):
        targets = [
            [
                corner_targets(
                    instances.bboxes[:, 2 * kind : 2 * kind + 2],
                    corner_radii(instances.bboxes),
                    tuple(level.shape[-2:]),
                    stride,
                )
                for instances in result
            ]
            for level, stride in zip(cls, STRIDES)
        ]
        count = sum(
            max(sum(int((t[i].heat_map == 1).sum()) for t in targets), 1)
            for i in range(len(result))
        )
        for level, of_images in enumerate(targets):
            for image, (heat_map, offset) in enumerate(of_images):
                p = scores[level][image, kind].double().sigmoid()
                positive = heat_map == 1
                loss = -((1 - p) ** 2 * p.log())[positive].sum()
                rest = (1 - heat_map) ** 4 * p**2 * (1 - p).log()
                loss -= rest[~positive].sum()
                sums['heatmap'] += 0.25 * loss / count / 2
                error = offsets[level][image, 2 * kind : 2 * kind + 2] - offset
                error = error[:, positive].abs()
                smooth = torch.where(
                    error < 1 / 9, error**2 * 9 / 2, error - 1 / 18
                )
                sums['offset'] += smooth.sum() / count / 2
    return sums


def test_losses_by_the_formulas():
    """Two images of one batch, one with an object, one with two."""
    model = build('reppoints_v2').train()
    head = model.bbox_head
    single = objects([[4, 4, 90, 60]], [1])
    data = prepared(model, full(), single)
    with torch.no_grad():
        head.reppoints_pts_init_out.bias[:4] = torch.tensor([-1.5, -2, 2, 1])
        outputs = head(model.extract_feat(data['inputs']))
        result = [sample.gt_instances for sample in data['data_samples']]
        losses = head.loss_by_feat(
            *outputs, result, [s.metainfo for s in data['data_samples']]
        )
        expected = slow_losses(head, outputs, result, None)
    for name, key in (
        ('init', 'loss_pts_init'),
        ('refine', 'loss_pts_refine'),
        ('cls', 'loss_cls'),
        ('heatmap', 'loss_heatmap'),
        ('offset', 'loss_offset'),
    ):
        assert losses[key].item() == pytest.approx(
            float(expected[name]), rel=2e-4
        ), key
    maps, weights = zip(
        *(
            semantic_targets(f.bboxes, f.labels, CLASSES, (64, 96))
            for f in result
        )
    )
    rows = []
    for stride in STRIDES:
        step = stride // 8
        for image in range(2):
            for target in (maps[image], weights[image]):
                rows.append(target[:, ::step, ::step].flatten())
    logits = torch.cat(
        [level[i].flatten() for level in outputs[5] for i in range(2)]
    )
    expected = head.loss_sem(
        logits, torch.cat(rows[0::2]), torch.cat(rows[1::2])
    )
    assert losses['loss_sem'].item() == pytest.approx(
        expected.item(), rel=1e-5
    )


def test_padding_of_the_batch_does_not_count():
    """An image costs the same beside a larger one, but for the divisors."""
    model = build('reppoints_v2').train()
    head = model.bbox_head
    generator = torch.Generator().manual_seed(0)
    result = [full()]
    metas = [dict(pad_shape=(64, 96), batch_input_shape=(64, 96))]
    outputs = [
        [
            torch.randn(1, channels, 64 // s, 96 // s, generator=generator)
            for s in STRIDES
        ]
        for channels in (CLASSES, 18, 18, 2, 4, CLASSES)
    ]
    small = head.loss_by_feat(*outputs, result, metas)
    padded = [
        [
            torch.nn.functional.pad(level, (0, 32 // s, 0, 64 // s), value=3.0)
            for level, s in zip(levels, STRIDES)
        ]
        for levels in outputs
    ]
    metas = [dict(pad_shape=(64, 96), batch_input_shape=(128, 128))]
    large = head.loss_by_feat(*padded, result, metas)
    for name in small:
        if name != 'loss_sem':  # it has no such mask in the released code
            torch.testing.assert_close(large[name], small[name])


def test_detections_are_those_without_masks():
    """The mask layers change nothing of boxes, scores and labels."""
    with_masks = build('mask_reppoints_v2', score_thr=0.0).eval()
    without = build('reppoints_v2', score_thr=0.0).eval()
    with torch.no_grad():
        bias = with_masks.bbox_head.reppoints_pts_init_out.bias
        bias[:4] = torch.tensor([-1.5, -2, 2, 1])
    state = with_masks.state_dict()
    without.load_state_dict({k: state[k] for k in without.state_dict()})
    data = batch(full(), full())
    with torch.no_grad():
        result = [model.test_step(data) for model in (with_masks, without)]
    for output, plain in zip(*result):
        output, plain = output.pred_instances, plain.pred_instances
        assert {*output.keys()} == {*plain.keys(), 'masks'}
        assert len(plain) == 15
        for key in plain.keys():
            assert torch.equal(output[key], plain[key])
        assert output.masks.shape == (15, 64, 96)
        assert output.masks.dtype == torch.bool


def test_an_image_in_which_nothing_is_found():
    model = build('mask_reppoints_v2', score_thr=1.0).eval()
    with torch.no_grad():
        (output,) = model.test_step(batch(full()))
    assert len(output.pred_instances) == 0
    assert output.pred_instances.masks.shape == (0, 64, 96)


@pytest.mark.parametrize('kind', BASES)
def test_mixed_precision(kind):
    """Logits of corners and coordinates are float32, and so are losses."""
    model = build(kind).train()
    data = prepared(model, full(), empty())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        pyramid = model.extract_feat(data['inputs'])
        outputs = model.bbox_head(pyramid)
        assert {level.dtype for level in outputs[3]} == {torch.float32}
        assert {level.dtype for maps in outputs[:6] for level in maps} == {
            torch.float32
        }
        assert model.bbox_head.cls_convs[0](pyramid[0]).dtype == torch.bfloat16
        losses = train_step(model, data)
    exact = train_step(build(kind).train(), data)
    for loss in losses.values():
        assert loss.dtype == torch.float32 and torch.isfinite(loss)
    # The others depend on which boxes are assigned, near ties in one of them.
    for name in ('loss_heatmap', 'loss_offset', 'loss_sem'):
        torch.testing.assert_close(losses[name], exact[name], rtol=0.1, atol=0)


def test_saturated_corners_have_a_finite_loss():
    """The logarithm of a probability that float16 rounds to 0 or 1."""
    model = build('reppoints_v2').train()
    with torch.no_grad():
        for corner in ('tl', 'br'):
            out = getattr(model.bbox_head, f'reppoints_hem_{corner}_score_out')
            out.bias.fill_(-25.0)
    with torch.autocast('cpu', dtype=torch.float16):
        losses = train_step(model, prepared(model, full()))
    # -ln(sigmoid(-25)) = 25, and 1e-12 is added to the probability.
    expected = 0.25 * -math.log(1 / (1 + math.exp(25)) + 1e-12)
    assert losses['loss_heatmap'].item() == pytest.approx(expected, rel=0.01)


def test_initial_weights():
    """Nothing is certain at first; corner pools keep mmcv's weights."""
    head = build('mask_reppoints_v2').bbox_head
    for name in ('reppoints_cls_out', 'reppoints_sem_out'):
        layer = getattr(head, name)
        assert layer.bias.tolist() == pytest.approx([-math.log(99)] * CLASSES)
    assert head.reppoints_hem_br_score_out.bias.item() == pytest.approx(
        -math.log(99)
    )
    assert not head.reppoints_hem_br_offset_out.bias.any()
    assert not head.controller.bias.any()
    for layer in (
        head.reppoints_cls_conv,
        head.reppoints_pts_init_conv,
        head.cls_convs[0].conv,
        head.controller,
    ):
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert head.hem_tl.p1_conv1.conv.weight.std() > 0.05
    assert head.reppoints_sem_embedding.conv.weight.std() > 0.05


def test_many_masks_are_drawn_from():
    model = build('mask_reppoints_v2').train()
    model.bbox_head.max_masks = 2
    sizes = []
    convs = model.bbox_head.mask_head.head
    convs.register_forward_hook(
        lambda module, inputs, output: sizes.append(len(inputs[1].params))
    )
    train_step(model, prepared(model, full(), full()))
    assert sum(sizes) == 2


def test_foreground_and_corners_feed_the_other_branches():
    """Scores and refined points see the embedding and the corner maps."""
    model = build('reppoints_v2').train()
    head = model.bbox_head
    pyramid = [
        torch.randn(1, 16, 64 // stride, 96 // stride) for stride in STRIDES
    ]
    before = head(pyramid)
    with torch.no_grad():
        head.reppoints_hem_tl_offset_out.bias += 5
    corners = head(pyramid)
    with torch.no_grad():
        head.reppoints_sem_embedding.gn.bias += 5
    foreground = head(pyramid)
    for index, moved in ((0, True), (1, False), (2, True), (5, False)):
        same = torch.equal(before[index][0], corners[index][0])
        assert same != moved
    for index, moved in ((0, True), (1, True), (3, True), (5, False)):
        same = torch.equal(corners[index][0], foreground[index][0])
        assert same != moved


def test_a_tenth_of_the_gradient_reaches_the_first_points():
    """Through the deformable convolutions; the refined points add none."""
    grads = []
    for gradient_mul in (0.1, 1.0):
        model = build('reppoints_v2').train().double()
        head = model.bbox_head
        head.gradient_mul = gradient_mul
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in head.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        pyramid = [
            torch.randn(1, 16, 64 // s, 96 // s, dtype=torch.float64)
            for s in STRIDES
        ]
        outputs = head(pyramid)
        sum(level.sum() for level in outputs[0] + outputs[2]).backward()
        grads.append(head.reppoints_pts_init_out.weight.grad)
    assert grads[1].abs().max() > 0
    torch.testing.assert_close(grads[0], 0.1 * grads[1])
