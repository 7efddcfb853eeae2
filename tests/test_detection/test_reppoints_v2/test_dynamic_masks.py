"""Masks of dynamic convolutions, pixel by pixel."""

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import MODELS
from mmengine.structures import InstanceData

from helpers.reppoints import build, settings
from swin_dense.detection.reppoints_v2.dynamic_masks import (
    DynamicConvs,
    Objects,
)
from swin_dense.detection.reppoints_v2.mask_losses import (
    mask_centers,
    mask_targets,
)

STRIDES = [8, 16, 32]


def objects(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Objects(
        torch.randn(count, 189, generator=generator),
        torch.rand(count, 2, generator=generator) * 60,
        torch.arange(count) % 3,
    )


def test_number_of_parameters():
    convs = DynamicConvs(8, 8, STRIDES)
    weights = (8 + 2) * 8 + 8 * 8 + 8
    assert weights == 152
    assert convs.num_params == weights + 17 + 10 + 8 + 2 == 189
    assert convs.sizes_of_interest.tolist() == [64, 128, 256]
    assert not [*convs.parameters()]


def slow_masks(features, params, center, size_of_interest, stride):
    """The three masks of an object, by sums over single numbers."""
    params = params.tolist()

    def take(count):
        taken = params[:count]
        del params[:count]
        return taken

    w0, w1, w2 = take(80), take(64), take(8)
    b0, b1, b2 = take(8), take(8), take(1)
    aw0, aw1, ab0, ab1 = take(10), take(8), take(1), take(1)
    assert not params
    height, width = features.shape[1:]
    masks = np.zeros((3, height, width))
    for row in range(height):
        for column in range(width):
            x = [
                (center[0] - (column * stride + stride // 2))
                / size_of_interest,
                (center[1] - (row * stride + stride // 2)) / size_of_interest,
                *features[:, row, column].tolist(),
            ]
            h0 = [
                max(0, b0[o] + sum(w0[10 * o + i] * x[i] for i in range(10)))
                for o in range(8)
            ]
            h1 = [
                max(0, b1[o] + sum(w1[8 * o + i] * h0[i] for i in range(8)))
                for o in range(8)
            ]
            masks[:, row, column] = (
                ab0[0] + sum(a * b for a, b in zip(aw0, x)),
                ab1[0] + sum(a * b for a, b in zip(aw1, h0)),
                b2[0] + sum(a * b for a, b in zip(w2, h1)),
            )
    return masks


def test_masks_pixel_by_pixel():
    convs, result = DynamicConvs(8, 8, STRIDES), objects(4)
    features = torch.randn(8, 5, 7)
    masks = torch.stack(convs(features, result, 8), 1).numpy()
    for i in range(4):
        expected = slow_masks(
            features,
            result.params[i],
            result.centers[i].tolist(),
            8 * STRIDES[i % 3],
            8,
        )
        np.testing.assert_allclose(masks[i], expected, rtol=1e-4, atol=1e-4)


def test_gradients_reach_parameters_centers_and_features():
    convs = DynamicConvs(2, 3, [8])
    generator = torch.Generator().manual_seed(0)
    double = dict(generator=generator, dtype=torch.float64)
    features = torch.randn(2, 2, 3, **double).requires_grad_()
    params = torch.randn(2, convs.num_params, **double).requires_grad_()
    centers = (20 * torch.rand(2, 2, **double)).requires_grad_()
    levels = torch.zeros(2, dtype=torch.long)

    def masks(features, params, centers):
        return tuple(convs(features, Objects(params, centers, levels), 8))

    assert torch.autograd.gradcheck(masks, (features, params, centers))


def test_mask_branch_that_reads_absent_levels():
    model = settings('mask_reppoints_v2')
    model.bbox_head.mask_levels = 4
    with pytest.raises(ValueError, match='mask_levels=4, but .* has 3 levels'):
        MODELS.build(model)


def test_center_of_nine_equal_points():
    """The location, half a stride on, and where the points moved."""
    head = build('mask_reppoints_v2').bbox_head
    points = [torch.zeros(1, 18, 8 >> i, 12 >> i) for i in range(len(STRIDES))]
    points[1][0, 0::2, 2, 5] = 0.5  # y
    points[1][0, 1::2, 2, 5] = -1.0  # x
    params = [torch.zeros(1, 189, *p.shape[-2:]) for p in points]
    fields = head._extra_fields(points, params)
    centers = fields[1]['centers'][0]
    assert centers[:, 0, 0].tolist() == [8, 8]
    assert centers[:, 1, 3].tolist() == [3 * 16 + 8, 16 + 8]
    assert centers[:, 2, 5].tolist() == [5 * 16 + 8 - 16, 2 * 16 + 8 + 8]
    assert [f['levels'].unique().item() for f in fields] == [0, 1, 2]
    # Points that differ count by their mean.
    points[0][0, 1, 0, 0] = 9.0
    centers = head._extra_fields(points, params)[0]['centers']
    assert centers[0, :, 0, 0].tolist() == [4 + 8, 4]


def bitmaps():
    masks = np.zeros((3, 16, 24), np.uint8)
    masks[0, 4:8, 10:20] = 1
    masks[1, 0, 0] = masks[1, 15, 3] = masks[1, 15, 5] = 1
    return InstanceData(
        bboxes=torch.tensor([[0.0, 0, 24, 16], [0, 0, 6, 16], [2, 4, 10, 6]]),
        masks=BitmapMasks(masks, 16, 24),
    )


def test_centers_are_first_moments():
    """Of pixels, not of the box; an empty mask has the box alone."""
    expected = [[14.5, 5.5], [8 / 3, 10], [6, 5]]
    torch.testing.assert_close(mask_centers(bitmaps()), torch.tensor(expected))
    none = InstanceData(
        bboxes=torch.zeros(0, 4),
        masks=BitmapMasks(np.zeros((0, 16, 24), np.uint8), 16, 24),
    )
    assert mask_centers(none).shape == (0, 2)


def test_targets_are_every_fourth_pixel():
    result = mask_targets(bitmaps(), 4)
    assert result.shape == (3, 4, 6)
    masks = bitmaps().masks.masks
    for row in range(4):
        for column in range(6):
            for i in range(3):
                assert (
                    result[i, row, column]
                    == masks[i, 4 * row + 2, 4 * column + 2]
                )
    assert result.sum() == 3  # row 6, columns 10, 14 and 18


@pytest.mark.parametrize(
    'shape, size', [((64, 96), (64, 96)), ((61, 90), (122, 45))]
)
def test_probabilities_have_the_size_asked_for(shape, size):
    """A mask of the left half stays the left half."""
    head = build('mask_reppoints_v2').bbox_head
    params = torch.zeros(1, 189)
    # The first hidden channel is 10 times x to the centre, where positive.
    params[0, 0] = 10.0
    params[0, 80] = params[0, 144] = 1.0
    params[0, 152 + 16] = -0.1
    probabilities = head.mask_probabilities(
        torch.zeros(8, 8, 12),
        Objects(params, torch.tensor([[45.0, 30]]), torch.tensor([0])),
        shape,
        size,
    )
    assert probabilities.shape == (1, *size)
    inside = probabilities[0].gt(0.5).float().mean(0)
    border = 45 * size[1] / shape[1]
    columns = torch.arange(size[1])
    assert inside[columns < border - 4].min() == 1
    assert inside[columns > border + 4].max() == 0
