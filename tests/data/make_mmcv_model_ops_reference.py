"""Records what mmcv 2.1.0's own kernels compute, for tests/test_compat.

The operators that single models of the hosts need. Most of them mmcv has for
CUDA only, so its kernels are compiled for one thread of a CPU. Needs a
compiler and mmcv's unpacked source distribution:

    cd tests && PYTHONPATH=. python data/make_mmcv_model_ops_reference.py DIR

Writes tests/data/mmcv_ops/<operator>.npz.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from helpers.mmcv_reference import FOLDER, Case, run, save


def call_nms_match(dets, iou_threshold):
    from mmcv.ops import nms_match

    groups = nms_match(dets, iou_threshold)
    return torch.tensor([len(group) for group in groups]), torch.cat(groups)


def call_carafe(features, masks, **options):
    from mmcv.ops import CARAFE

    return CARAFE(**options)(features, masks)


def call_masked_conv(inputs, mask, weight, bias, padding):
    from mmcv.ops import masked_conv2d

    return masked_conv2d(inputs, mask, weight, bias, padding)


def call_psa_mask(inputs, **options):
    from mmcv.ops import PSAMask

    return PSAMask(**options)(inputs)


def call_roi_pool(features, rois, output_size, spatial_scale):
    from mmcv.ops import RoIPool

    return RoIPool(output_size, spatial_scale)(features, rois)


def call_deform_roi_pool(features, rois, offset=None, **options):
    from mmcv.ops import DeformRoIPool

    return DeformRoIPool(**options)(features, rois, offset)


def call_tin_shift(inputs, shift):
    from mmcv.ops import tin_shift

    return tin_shift(inputs, shift.int())


CALLS = {
    'nms_match': call_nms_match,
    'carafe': call_carafe,
    'masked_conv': call_masked_conv,
    'psa_mask': call_psa_mask,
    'roi_pool': call_roi_pool,
    'deform_roi_pool': call_deform_roi_pool,
    'tin_shift': call_tin_shift,
}


def nms_match_cases() -> Iterator[Case]:
    for name, count, clusters in (
        ('one', 1, 1),
        ('few', 20, 4),
        ('many', 300, 25),
    ):
        size = torch.rand(clusters, 2) * 40 + 5
        centre = torch.rand(clusters, 2) * 100
        of = torch.randint(clusters, (count,))
        boxes = torch.cat([centre - size / 2, centre + size / 2], 1)[of]
        boxes = boxes + torch.randn(count, 4) * size[of].repeat(1, 2) * 0.1
        dets = torch.cat([boxes, torch.rand(count, 1)], 1)
        for threshold in (0.3, 0.6):
            yield Case(
                f'{name}-{threshold}',
                dict(dets=dets),
                dict(iou_threshold=threshold),
            )
    dets = torch.tensor(
        [
            [3.0, 3.0, 3.0, 9.0, 0.9],
            [3.0, 3.0, 3.0, 9.0, 0.8],
            [3.0, 3.0, 9.0, 9.0, 0.7],
        ]
    )
    yield Case('no_area', dict(dets=dets), dict(iou_threshold=0.5))


def carafe_cases() -> Iterator[Case]:
    for name, batch, channels, size, kernel, groups, scale in (
        ('as_packed', 2, 4, (4, 5), 5, 1, 2),
        ('groups', 1, 6, (3, 3), 3, 2, 2),
        ('tripled', 1, 2, (2, 3), 3, 1, 3),
        ('wide_kernel', 1, 2, (2, 2), 7, 1, 2),
        ('pointwise', 1, 3, (2, 2), 1, 3, 1),
    ):
        height, width = size
        large = (scale * height, scale * width)
        masks = torch.randn(batch, groups * kernel**2, *large).sigmoid()
        yield Case(
            name,
            dict(
                features=torch.randn(batch, channels, *size),
                masks=masks,
                grad_output=torch.randn(batch, channels, *large),
            ),
            dict(kernel_size=kernel, group_size=groups, scale_factor=scale),
        )


def masked_conv_cases() -> Iterator[Case]:
    for name, kernel, padding, share in (
        ('plain', (3, 3), 1, 0.3),
        ('all', (3, 3), 1, 1.0),
        ('none', (3, 3), 1, 0.0),
        ('pointwise', (1, 1), 0, 0.5),
        ('uneven', (3, 5), (1, 2), 0.5),
    ):
        yield Case(
            name,
            dict(
                inputs=torch.randn(1, 3, 6, 7),
                mask=(torch.rand(1, 6, 7) < share).float(),
                weight=torch.randn(4, 3, *kernel),
                bias=torch.randn(4),
            ),
            dict(padding=padding),
        )


def psa_mask_cases() -> Iterator[Case]:
    for size, window in (
        ((5, 6), (9, 11)),
        ((8, 8), (4, 4)),
        ((4, 3), (3, 5)),
    ):
        pixels = size[0] * size[1]
        for kind in ('collect', 'distribute'):
            yield Case(
                f'{kind}-{window[0]}',
                dict(
                    inputs=torch.randn(2, window[0] * window[1], *size),
                    grad_output=torch.randn(2, pixels, *size),
                ),
                dict(psa_type=kind, mask_size=window),
            )


def some_rois() -> torch.Tensor:
    corner = torch.rand(9, 2) * torch.tensor([40.0, 30.0])
    image = torch.randint(2, (9, 1)).float()
    random = torch.cat([image, corner, corner + torch.rand(9, 2) * 40 + 1], 1)
    degenerate = torch.tensor(
        [
            [0.0, 0.0, 0.0, 52.0, 40.0],  # the whole image
            [1.0, -30.0, -30.0, 100.0, 90.0],  # larger than the image
            [1.0, 80.0, 80.0, 100.0, 100.0],  # outside
            [0.0, 8.0, 8.0, 8.0, 8.0],  # a point
            [0.0, 4.0, 4.0, 12.0, 12.0],  # edges on whole coordinates
        ]
    )
    return torch.cat([random, degenerate])


def roi_pool_cases() -> Iterator[Case]:
    features = torch.randn(2, 3, 10, 13)
    rois = some_rois()
    for name, boxes, size in (
        ('square', rois, 3),
        ('uneven', rois, (2, 5)),
        ('empty', rois[:0], 2),
    ):
        pair = (size, size) if isinstance(size, int) else size
        yield Case(
            name,
            dict(
                features=features,
                rois=boxes,
                grad_output=torch.randn(len(boxes), 3, *pair),
            ),
            dict(output_size=size, spatial_scale=0.25),
        )


def deform_roi_pool_cases() -> Iterator[Case]:
    features = torch.randn(2, 3, 10, 13)
    rois = some_rois()
    for ratio in (0, 2):
        for scale, gamma in ((0, 0.1), (1, 0.1), (3, 0.5)):
            tensors = dict(
                features=features,
                rois=rois,
                grad_output=torch.randn(len(rois), 3, 3, 2),
            )
            if scale:
                tensors['offset'] = torch.randn(len(rois), 2, 3, 2) * scale
            yield Case(
                f'{ratio}-{scale}',
                tensors,
                dict(
                    output_size=(3, 2),
                    spatial_scale=0.25,
                    sampling_ratio=ratio,
                    gamma=gamma,
                ),
            )


def tin_shift_cases() -> Iterator[Case]:
    for name, shift in (
        ('plain', [[1, 0, 1, -2], [-2, 1, -1, 1]]),
        ('beyond', [[4, -4, 0, 9], [3, -3, -9, 2]]),
        ('one_group', [[2], [-1]]),
    ):
        yield Case(
            name,
            dict(
                inputs=torch.randn(2, 4, 8, 3),
                shift=torch.tensor(shift),
                grad_output=torch.randn(2, 4, 8, 3),
            ),
            {},
        )


CASES = {
    'nms_match': nms_match_cases,
    'carafe': carafe_cases,
    'masked_conv': masked_conv_cases,
    'psa_mask': psa_mask_cases,
    'roi_pool': roi_pool_cases,
    'deform_roi_pool': deform_roi_pool_cases,
    'tin_shift': tin_shift_cases,
}


def main(sources: str) -> None:
    import mmcv_kernels_on_cpu

    mmcv_kernels_on_cpu.serve(Path(sources))
    FOLDER.mkdir(exist_ok=True)
    for seed, (operator, make_cases) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        recorded = {}
        for case in make_cases():
            recorded[case.name] = {
                'options': case.options,
                'in': case.tensors,
                'out': run(CALLS[operator], case.tensors, case.options),
            }
        save(operator, recorded)
        print(f'{operator}: {len(recorded)} cases')


if __name__ == '__main__':
    main(*sys.argv[1:])
