"""Maps to learn from, against loops over points and boxes."""

import math

import pytest
import torch
from mmdet.models.utils import gaussian_radius

from swin_dense.detection.reppoints_v2.targets import (
    corner_radii,
    corner_targets,
    semantic_targets,
)


def slow_corners(corners, radii, size, stride):
    """Heat map and offsets, point by point."""
    heat = [[0.0] * size[1] for _ in range(size[0])]
    offsets = [[[0.0, 0.0] for _ in range(size[1])] for _ in range(size[0])]
    nearest = []
    for (x, y), radius in zip(corners, radii):
        sigma = (2 * radius + 1) / 6
        best = (float('inf'), None)
        for i in range(size[0]):
            for j in range(size[1]):
                square = (j * stride - x) ** 2 + (i * stride - y) ** 2
                if square < radius**2:
                    value = math.exp(-square / (2 * sigma**2))
                    heat[i][j] = max(heat[i][j], value)
                best = min(best, (square, (i, j)))
        nearest.append(best[1])
    for (i, j), (x, y) in zip(nearest, corners):
        heat[i][j] = 1.0
        offsets[i][j] = [x / stride - j, y / stride - i]
    return torch.tensor(heat), torch.tensor(offsets).permute(2, 0, 1)


def test_radius_by_hand():
    """The least of three roots, for a box of 100 x 50 pixels."""
    (radius,) = corner_radii(torch.tensor([[7.0, 3, 107, 53]])).tolist()
    roots = (6.1331, 5.3869, 6.5677)
    assert radius == pytest.approx(min(roots), abs=1e-4)
    assert (2 * radius + 1) / 6 == pytest.approx(1.9623, abs=1e-4)
    # Height and width enter alike; one of them alone would not.
    assert gaussian_radius((100, 50), 0.7) == pytest.approx(radius)
    assert gaussian_radius((100, 100), 0.7) != pytest.approx(radius)


@pytest.mark.parametrize('stride', [8, 16])
def test_corner_targets(stride):
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(12, 2, generator=generator) * 100
    corners[3] = corners[2] + 0.5  # two next to one point
    radii = torch.rand(12, generator=generator) * 40
    targets = corner_targets(corners, radii, (10, 14), stride)
    heat, offsets = slow_corners(
        corners.tolist(), radii.tolist(), (10, 14), stride
    )
    torch.testing.assert_close(targets.heat_map, heat, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(targets.offsets, offsets)
    assert 0 < (heat == 1).sum() < 12
    assert ((heat > 0) & (heat < 1)).any()


def test_one_corner_has_a_positive_on_every_level():
    """Whatever its size, and beyond the last point, too."""
    for corner in ([33.0, 21.0], [511.0, 400.0]):
        for level, stride in enumerate((8, 16, 32, 64, 128)):
            size = (48 >> level, 64 >> level)
            heat, offsets = corner_targets(
                torch.tensor([corner]), torch.tensor([5.3869]), size, stride
            )
            assert (heat == 1).sum() == 1
            (row,), (column,) = (heat == 1).nonzero(as_tuple=True)
            result = torch.stack([column, row]) + offsets[:, row, column]
            assert (result * stride).tolist() == pytest.approx(corner)


def test_no_corner_is_an_empty_map():
    heat, offsets = corner_targets(
        torch.zeros(0, 2), torch.zeros(0), (3, 4), 8
    )
    assert heat.shape == (3, 4) and not heat.any()
    assert offsets.shape == (2, 3, 4) and not offsets.any()
    assert corner_radii(torch.zeros(0, 4)).shape == (0,)


def slow_semantic(boxes, labels, classes, size):
    maps = torch.zeros(2, classes, size[0] // 8, size[1] // 8)
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in boxes]
    for index in sorted(range(len(boxes)), key=lambda i: -areas[i]):
        x1, y1, x2, y2 = boxes[index]
        for row in range(int(y1 / 8), int(y2 / 8) + 1):
            for column in range(int(x1 / 8), int(x2 / 8) + 1):
                if row < maps.shape[2] and column < maps.shape[3]:
                    maps[0, labels[index], row, column] = 1
                    maps[1, labels[index], row, column] = 1 / areas[index]
    return maps


def test_semantic_targets():
    boxes = [
        [10, 10, 60, 50],
        [20.5, 20, 40, 37],  # smaller, of the same class: painted over
        [16, 0, 64, 64],  # the last pixels of the image
        [0, 8, 15, 16],
    ]
    labels = [1, 1, 0, 1]
    result = semantic_targets(
        torch.tensor(boxes), torch.tensor(labels), 3, (64, 96)
    )
    expected = slow_semantic(boxes, labels, 3, (64, 96))
    torch.testing.assert_close(torch.stack(result), expected)
    assert not result[0][2].any()
    assert result[1][1, 3, 3] == pytest.approx(1 / (19.5 * 17))


def test_semantic_targets_without_boxes():
    maps = semantic_targets(
        torch.zeros(0, 4), torch.zeros(0).long(), 3, (64, 96)
    )
    assert all(m.shape == (3, 8, 12) and not m.any() for m in maps)
