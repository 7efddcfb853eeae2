"""Records what a compiled mmcv 2.1.0 computes, for tests/test_compat.

Run where mmcv is compiled (CPU is enough), from the repository:

    PYTHONPATH=tests python tests/data/make_mmcv_ops_reference.py

Writes tests/data/mmcv_ops/<operator>.npz: inputs, outputs and gradients of
every case below. The compiled CPU operators include no attention and no focal
loss; those two are computed in float64 by the plain formulas at the end.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.mmcv_reference import FOLDER, Case, run, save


def call_nms(boxes, scores, **options):
    from mmcv.ops import nms

    return nms(boxes, scores, **options)


def call_batched_nms(boxes, scores, idxs, nms_cfg, class_agnostic):
    from mmcv.ops import batched_nms

    return batched_nms(boxes, scores, idxs, nms_cfg, class_agnostic)


def call_soft_nms(boxes, scores, **options):
    from mmcv.ops import soft_nms

    return soft_nms(boxes, scores, **options)


def call_roi_align(features, rois, **options):
    from mmcv.ops import RoIAlign

    return RoIAlign(**options)(features, rois)


def call_deform_conv(inputs, offset, weight, **options):
    from mmcv.ops import DeformConv2d

    out_channels, in_channels, *kernel = weight.shape
    module = DeformConv2d(
        in_channels * options.get('groups', 1),
        out_channels,
        tuple(kernel),
        **options,
    )
    del module.weight
    module.weight = weight
    return module(inputs, offset)


def call_modulated_deform_conv(
    inputs, offset, mask, weight, bias=None, **options
):
    from mmcv.ops import modulated_deform_conv2d

    return modulated_deform_conv2d(
        inputs,
        offset,
        mask,
        weight,
        bias,
        *(
            options[name]
            for name in (
                'stride',
                'padding',
                'dilation',
                'groups',
                'deform_groups',
            )
        ),
    )


def call_ms_deform_attn(value, locations, weights, shapes):
    from mmcv.ops.multi_scale_deform_attn import (
        MultiScaleDeformableAttnFunction,
    )

    shapes = torch.tensor(shapes, device=value.device)
    sizes = shapes.prod(1)
    return MultiScaleDeformableAttnFunction.apply(
        value, shapes, sizes.cumsum(0) - sizes, locations, weights, 64
    )


def call_sigmoid_focal_loss(
    logits, target, gamma, alpha, reduction, class_weight=None
):
    from mmcv.ops import sigmoid_focal_loss

    return sigmoid_focal_loss(
        logits,
        target,
        gamma,
        alpha,
        _class_weight(logits, class_weight),
        reduction,
    )


def call_softmax_focal_loss(
    logits, target, gamma, alpha, reduction, class_weight=None
):
    from mmcv.ops import softmax_focal_loss

    return softmax_focal_loss(
        logits,
        target,
        gamma,
        alpha,
        _class_weight(logits, class_weight),
        reduction,
    )


def _class_weight(logits, values):
    return None if values is None else logits.new_tensor(values)


CALLS = {
    'nms': call_nms,
    'batched_nms': call_batched_nms,
    'soft_nms': call_soft_nms,
    'roi_align': call_roi_align,
    'deform_conv': call_deform_conv,
    'modulated_deform_conv': call_modulated_deform_conv,
    'ms_deform_attn': call_ms_deform_attn,
    'sigmoid_focal_loss': call_sigmoid_focal_loss,
    'softmax_focal_loss': call_softmax_focal_loss,
}


def clustered_boxes(count: int, clusters: int) -> dict[str, Tensor]:
    """Draw boxes around a few centres; some coordinates are negative."""
    size = torch.rand(clusters, 2) * 40 + 5
    centre = torch.rand(clusters, 2) * 100
    of = torch.randint(clusters, (count,))
    boxes = torch.cat([centre - size / 2, centre + size / 2], 1)[of]
    noise = torch.randn(count, 4) * size[of].repeat(1, 2) * 0.1
    return dict(boxes=boxes + noise, scores=torch.rand(count))


def box_sets() -> dict[str, dict[str, Tensor]]:
    """Return random and degenerate boxes; equal scores are among them."""
    same = torch.tensor([[3.0, 4.0, 13.0, 24.0]]).repeat(12, 1)
    chain = torch.arange(40.0)[:, None] + torch.tensor([[0.0, 0.0, 9.0, 9.0]])
    flat = clustered_boxes(30, 4)['boxes']
    flat[::2, 2] = flat[::2, 0]
    flat[::3, 3] = flat[::3, 1]
    ties = clustered_boxes(60, 10)
    ties['scores'] = torch.randint(2, 10, (60,)) / 10
    return {
        'random': clustered_boxes(150, 12),
        'dense': clustered_boxes(700, 15),
        'empty': clustered_boxes(0, 1),
        'one': clustered_boxes(1, 1),
        'identical': dict(boxes=same, scores=torch.rand(12)),
        'identical_ties': dict(boxes=same, scores=torch.full((12,), 0.5)),
        'ties': ties,
        'chain': dict(boxes=chain, scores=torch.linspace(0.9, 0.2, 40)),
        'no_area': dict(boxes=flat, scores=torch.rand(30)),
        'point': dict(boxes=torch.zeros(3, 4), scores=torch.rand(3)),
    }


def nms_cases() -> Iterator[Case]:
    variants = {
        'plain': dict(iou_threshold=0.5),
        'offset': dict(iou_threshold=0.3, offset=1),
        'limited': dict(iou_threshold=0.7, score_threshold=0.4, max_num=7),
    }
    for boxes, tensors in box_sets().items():
        if boxes == 'ties':  # compiled: sorted in an order of the machine's
            continue
        for variant, options in variants.items():
            yield Case(f'{boxes}-{variant}', tensors, options)


def batched_nms_cases() -> Iterator[Case]:
    variants = {
        'plain': dict(nms_cfg=dict(type='nms', iou_threshold=0.5)),
        'limited': dict(
            nms_cfg=dict(type='nms', iou_threshold=0.5, max_num=9)
        ),
        'split': dict(
            nms_cfg=dict(type='nms', iou_threshold=0.5, split_thr=50)
        ),
        'soft': dict(
            nms_cfg=dict(type='soft_nms', iou_threshold=0.5, min_score=0.1)
        ),
        'none': dict(nms_cfg=None),
    }
    sets = box_sets()
    for boxes in ('random', 'one', 'identical'):
        tensors = dict(sets[boxes])
        tensors['idxs'] = torch.randint(4, (len(tensors['scores']),))
        for variant, options in variants.items():
            for agnostic in (False, True):
                yield Case(
                    f'{boxes}-{variant}-{agnostic:d}',
                    tensors,
                    dict(options, class_agnostic=agnostic),
                )


def soft_nms_cases() -> Iterator[Case]:
    for boxes, tensors in box_sets().items():
        if boxes == 'dense':  # long decay: rounding decides near the limit
            continue
        methods = ['linear', 'naive']
        if boxes not in ('no_area', 'point'):  # compiled: scores become NaN
            methods.append('gaussian')
        for method in methods:
            for offset in (0, 1):
                yield Case(
                    f'{boxes}-{method}-{offset}',
                    tensors,
                    dict(
                        iou_threshold=0.3,
                        sigma=0.5,
                        min_score=0.05,
                        method=method,
                        offset=offset,
                    ),
                )


def roi_align_cases() -> Iterator[Case]:
    features = torch.randn(2, 3, 10, 13)
    corner = torch.rand(12, 2) * torch.tensor([40.0, 30.0])
    image = torch.randint(2, (12, 1)).float()
    random = torch.cat([image, corner, corner + torch.rand(12, 2) * 40 + 1], 1)
    degenerate = torch.tensor(
        [
            [0.0, 0.0, 0.0, 52.0, 40.0],  # the whole image
            [1.0, -30.0, -30.0, 100.0, 90.0],  # larger than the image
            [1.0, 80.0, 80.0, 100.0, 100.0],  # outside
            [0.0, -40.0, -40.0, -20.0, -20.0],  # outside, before the start
            [0.0, 8.0, 8.0, 8.0, 8.0],  # a point
            [1.0, 8.0, 4.0, 8.0, 20.0],  # a line
            [0.0, 50.0, 38.0, 51.9, 39.9],  # in the last pixel
            [1.0, 7.0, 7.0, 7.001, 7.001],
            [0.0, 4.0, 4.0, 12.0, 12.0],  # samples on whole coordinates
            [0.0, 4.0, 4.0, 12.0, 12.0],
        ]
    )
    sets = dict(random=random, degenerate=degenerate, empty=random[:0])
    for rois_name, rois in sets.items():
        for mode in ('avg', 'max'):
            for aligned in (True, False):
                for ratio in (0, 1, 2, 3):
                    size = (3, 2) if ratio else (4, 5)
                    yield Case(
                        f'{rois_name}-{mode}-{aligned:d}-{ratio}',
                        dict(
                            features=features,
                            rois=rois,
                            grad_output=torch.randn(len(rois), 3, *size),
                        ),
                        dict(
                            output_size=size,
                            spatial_scale=0.25,
                            sampling_ratio=ratio,
                            pool_mode=mode,
                            aligned=aligned,
                        ),
                    )
    inverted = torch.tensor([[0.0, 30.0, 20.0, 10.0, 5.0]])
    yield Case(
        'inverted-avg-0-0',
        dict(
            features=features,
            rois=inverted,
            grad_output=torch.randn(1, 3, 2, 2),
        ),
        dict(
            output_size=2, spatial_scale=0.5, sampling_ratio=0, aligned=False
        ),
    )


# kernel, stride, padding, dilation, groups, deform groups, batch, size
CONVOLUTIONS = {
    'plain': ((3, 3), 1, 1, 1, 1, 1, 2, (6, 7)),
    'strided': ((3, 3), 2, 1, 1, 1, 1, 1, (7, 8)),
    'dilated': ((3, 3), 1, 2, 2, 1, 1, 1, (7, 6)),
    'uneven': ((3, 2), (1, 2), (0, 1), (2, 1), 1, 1, 3, (8, 7)),
    'grouped': ((3, 3), 1, 1, 1, 2, 1, 2, (5, 6)),
    'deform_grouped': ((3, 3), 1, 1, 1, 1, 2, 2, (5, 6)),
    'both_grouped': ((2, 2), 1, 0, 1, 2, 4, 2, (5, 5)),
    'pointwise': ((1, 1), 1, 0, 1, 1, 1, 2, (4, 4)),
}


def convolution_cases(modulated: bool) -> Iterator[Case]:
    for name, (
        kernel,
        stride,
        padding,
        dilation,
        groups,
        deform_groups,
        batch,
        size,
    ) in CONVOLUTIONS.items():
        inputs = torch.randn(batch, 4, *size)
        weight = torch.randn(6, 4 // groups, *kernel) / 3
        plain = F.conv2d(
            inputs, weight, None, stride, padding, dilation, groups
        )
        taps = deform_groups * kernel[0] * kernel[1]
        offset = torch.randn(batch, 2 * taps, *plain.shape[2:]) * 2
        tensors = dict(
            inputs=inputs,
            offset=offset,
            weight=weight,
            grad_output=torch.randn_like(plain),
        )
        options = dict(
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            deform_groups=deform_groups,
        )
        if modulated:
            tensors['mask'] = torch.rand(batch, taps, *plain.shape[2:])
            yield Case(
                f'{name}-bias', dict(tensors, bias=torch.randn(6)), options
            )
        yield Case(name, tensors, options)
        # Fresh layers start undisplaced: every sample is on a pixel.
        yield Case(
            f'{name}-undisplaced',
            dict(tensors, offset=torch.zeros_like(offset)),
            options,
        )
    if modulated:
        # DyHead convolves one level with the offsets of the level below.
        tensors = dict(
            inputs=torch.randn(2, 4, 3, 4),
            offset=torch.randn(2, 18, 6, 8),
            mask=torch.rand(2, 9, 6, 8),
            weight=torch.randn(3, 4, 3, 3),
            grad_output=torch.randn(2, 3, 3, 4),
        )
        options = dict(
            stride=1, padding=1, dilation=1, groups=1, deform_groups=1
        )
        yield Case('larger_offset', tensors, options)
    else:
        inputs = torch.randn(4, 2, 5, 5)
        tensors = dict(
            inputs=inputs,
            offset=torch.randn(4, 18, 5, 5),
            weight=torch.randn(3, 2, 3, 3),
            grad_output=torch.randn(4, 3, 5, 5),
        )
        yield Case('steps', tensors, dict(padding=1, im2col_step=2))
        # The wrapper pads an input that is smaller than the kernel.
        tensors = dict(
            inputs=torch.randn(1, 2, 2, 3),
            offset=torch.randn(1, 18, 2, 3),
            weight=torch.randn(3, 2, 3, 3),
            grad_output=torch.randn(1, 3, 2, 3),
        )
        yield Case('small', tensors, dict(padding=1))


def ms_deform_attn_cases() -> Iterator[Case]:
    for name, batch, queries, heads, channels, shapes, points in (
        ('one', 1, 1, 1, 4, [[3, 5]], 1),
        ('levels', 2, 5, 2, 3, [[6, 8], [3, 4], [1, 1]], 4),
        ('no_queries', 1, 0, 2, 4, [[3, 5]], 2),
    ):
        pixels = sum(h * w for h, w in shapes)
        shape = (batch, queries, heads, len(shapes), points)
        yield Case(
            name,
            dict(
                value=torch.randn(batch, pixels, heads, channels),
                locations=torch.rand(*shape, 2) * 1.6 - 0.3,
                weights=torch.rand(shape),
                grad_output=torch.randn(batch, queries, heads * channels),
            ),
            dict(shapes=shapes),
        )


def focal_loss_cases(background: int) -> Iterator[Case]:
    """Yield cases; `background` is the target that is no class."""
    for name, scale, options in (
        ('mean', 1, dict(gamma=2.0, alpha=0.25, reduction='mean')),
        ('sum', 1, dict(gamma=1.5, alpha=0.6, reduction='sum')),
        ('none', 1, dict(gamma=2.0, alpha=0.25, reduction='none')),
        ('flat', 1, dict(gamma=0.0, alpha=0.5, reduction='sum')),
        ('sure', 8, dict(gamma=2.0, alpha=0.25, reduction='mean')),
        (
            'weighted',
            1,
            dict(
                gamma=2.0,
                alpha=0.25,
                reduction='sum',
                class_weight=[0.2, 1.0, 3.0, 0.7],
            ),
        ),
    ):
        target = torch.tensor([0, 3, 1, 2, background, 2, background, 0, 1])
        tensors = dict(logits=torch.randn(9, 4) * scale, target=target)
        if options['reduction'] != 'none':
            tensors['grad_output'] = torch.tensor(1.7)
        yield Case(name, tensors, options)


CASES = {
    'nms': nms_cases,
    'batched_nms': batched_nms_cases,
    'soft_nms': soft_nms_cases,
    'roi_align': roi_align_cases,
    'deform_conv': lambda: convolution_cases(False),
    'modulated_deform_conv': lambda: convolution_cases(True),
    'ms_deform_attn': ms_deform_attn_cases,
    'sigmoid_focal_loss': lambda: focal_loss_cases(background=4),
    'softmax_focal_loss': lambda: focal_loss_cases(background=-1),
}


def plain_ms_deform_attn(value, locations, weights, shapes):
    from mmcv.ops.multi_scale_deform_attn import (
        multi_scale_deformable_attn_pytorch,
    )

    return multi_scale_deformable_attn_pytorch(
        value, torch.tensor(shapes), locations, weights
    )


def plain_sigmoid_focal_loss(
    logits, target, gamma, alpha, reduction, class_weight=None
):
    right = F.one_hot(target, 5)[:, :4].to(logits)
    sigmoid = logits.sigmoid()
    miss = right * (1 - sigmoid) + (1 - right) * sigmoid
    share = right * alpha + (1 - right) * (1 - alpha)
    loss = (
        share
        * miss**gamma
        * F.binary_cross_entropy_with_logits(logits, right, reduction='none')
    )
    if class_weight is not None:
        loss = loss * logits.new_tensor(class_weight + [1.0])[target, None]
    return _reduce(loss, reduction, len(logits))


def plain_softmax_focal_loss(
    logits, target, gamma, alpha, reduction, class_weight=None
):
    entropy = F.cross_entropy(
        logits, target, ignore_index=-1, reduction='none'
    )
    loss = alpha * (1 - (-entropy).exp()) ** gamma * entropy
    if class_weight is not None:
        loss = loss * logits.new_tensor(class_weight)[target]
    return _reduce(loss, reduction, len(logits))


def _reduce(loss, reduction, count):
    if reduction == 'none':
        return loss
    return loss.sum() / (count if reduction == 'mean' else 1)


PLAIN = {
    'ms_deform_attn': plain_ms_deform_attn,
    'sigmoid_focal_loss': plain_sigmoid_focal_loss,
    'softmax_focal_loss': plain_softmax_focal_loss,
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    CALLS.update(PLAIN)
    for seed, (operator, make_cases) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        recorded = {}
        for case in make_cases():
            tensors = case.tensors
            if operator in PLAIN:
                tensors = {
                    name: value.double()
                    if value.is_floating_point()
                    else value
                    for name, value in tensors.items()
                }
            outputs = run(CALLS[operator], tensors, case.options)
            recorded[case.name] = {
                'options': case.options,
                'in': case.tensors,
                'out': outputs,
            }
        save(operator, recorded)
        print(f'{operator}: {len(recorded)} cases')


if __name__ == '__main__':
    main()
