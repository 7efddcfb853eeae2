"""Boxes of points, and corners moved to where a heat map is hot."""

import pytest
import torch

from swin_dense.detection.reppoints_v2.decode import ImageMaps, decode_image
from swin_dense.detection.reppoints_v2.points import decode_boxes
from swin_dense.detection.reppoints_v2.snapping import (
    finer_level,
    snap_boxes,
)

STRIDES = [8, 16, 32]
SIZES = [(8, 12), (4, 6), (2, 3)]
IMAGE = (64, 96)
COLD = -5.0


def test_boxes_are_the_first_two_points():
    """y before x, in strides from the location; the others do not count."""
    offsets = torch.arange(18.0)[None] + 0.5
    boxes = decode_boxes(offsets, torch.tensor([[40.0, 8]]), torch.tensor([4]))
    assert boxes.tolist() == [[40 + 6, 8 + 2, 40 + 14, 8 + 10]]
    # Nothing sorts them.
    boxes = decode_boxes(-offsets, torch.tensor([[0.0, 0]]), torch.tensor([1]))
    assert boxes.tolist() == [[-1.5, -0.5, -3.5, -2.5]]


def test_heat_maps_of_levels():
    assert [finer_level(level) for level in range(5)] == [None, 0, 0, 1, 1]


def hot(size, top_left, bottom_right):
    """Corner maps with a hot cell (row, column) of each kind."""
    scores = torch.full((2, *size), COLD)
    offsets = torch.zeros(4, *size)
    for kind, (row, column) in enumerate((top_left, bottom_right)):
        scores[kind, row, column] = 1.0
        offsets[2 * kind :, row, column] = torch.tensor(
            [0.25, -0.5, 0, 0][: 4 - 2 * kind]
        )
    offsets[2:, bottom_right[0], bottom_right[1]] = torch.tensor(
        [0.125, 0.375]
    )
    return scores, offsets


def test_one_hot_cell_gives_the_corner_exactly():
    """Both cells lie next to a corner: cell plus offset, times the stride."""
    scores, offsets = hot((8, 12), (1, 3), (6, 10))
    boxes = torch.tensor([[18.0, 10, 79, 55]])  # between rows 1 and 2, 6 and 7
    snapped = snap_boxes(boxes, scores, offsets, 8)
    assert snapped.tolist() == [
        [8 * 3.25, 8 * (1 - 0.5), 8 * 10.125, 8 * 6.375]
    ]


def test_cells_further_away_do_not_count():
    scores, offsets = hot((8, 12), (1, 3), (6, 10))
    boxes = torch.tensor([[33.0, 10, 79, 36]])
    snapped = snap_boxes(boxes, scores, offsets, 8)
    # All cells are equally cold there, so the first of the four is taken.
    assert snapped.tolist() == [[32, 8, 72, 32]]


def test_corners_on_the_border_stay_on_the_map():
    scores, offsets = hot((8, 12), (0, 0), (7, 11))
    boxes = torch.tensor([[0.0, 0, 96, 64]])
    snapped = snap_boxes(boxes, scores, offsets, 8)
    assert snapped.tolist() == [[8 * 0.25, 8 * -0.5, 8 * 11.125, 8 * 7.375]]
    # A map of one cell has no four around anything.
    scores, offsets = hot((1, 1), (0, 0), (0, 0))
    snapped = snap_boxes(boxes, scores, offsets, 8)
    assert snapped.tolist() == [[2, -4, 1, 3]]


def image_maps(classes=3):
    generator = torch.Generator().manual_seed(0)

    def noise(channels, size):
        return torch.randn(channels, *size, generator=generator)

    return ImageMaps(
        [noise(classes, size) for size in SIZES],
        [2 * noise(18, size) for size in SIZES],
        [noise(2, size) for size in SIZES],
        [noise(4, size) for size in SIZES],
        [
            dict(level=torch.full((1, *size), i))
            for i, size in enumerate(SIZES)
        ],
    )


def decode(maps, nms_pre=1000, score_thr=0.3):
    priors = [
        torch.tensor(
            [[j * s, i * s] for i in range(h) for j in range(w)]
        ).float()
        for s, (h, w) in zip(STRIDES, SIZES)
    ]
    return decode_image(maps, priors, STRIDES, IMAGE, nms_pre, score_thr)


def slow_decode(maps, nms_pre, score_thr):
    """Detections as sorted tuples, location by location."""

    def clip(x, y):
        return min(max(x, 0), IMAGE[1]), min(max(y, 0), IMAGE[0])

    result = []
    for level, (stride, (height, width)) in enumerate(zip(STRIDES, SIZES)):
        places = sorted(
            ((i, j) for i in range(height) for j in range(width)),
            key=lambda at: -maps.cls_scores[level][:, at[0], at[1]].max(),
        )
        for i, j in places[:nms_pre]:
            points = maps.offsets[level][:, i, j].tolist()
            corners = [
                clip((points[k + 1] + j) * stride, (points[k] + i) * stride)
                for k in (0, 2)
            ]
            if level:
                for kind, (x, y) in enumerate(corners):
                    column = int(min(max(x / 8, 0), SIZES[0][1] - 2))
                    row = int(min(max(y / 8, 0), SIZES[0][0] - 2))
                    cells = [
                        (row + dy, column + dx)
                        for dy in (0, 1)
                        for dx in (0, 1)
                    ]
                    scores = maps.corner_scores[0][kind]
                    row, column = max(cells, key=lambda at: scores[at])
                    dx, dy = maps.corner_offsets[0][2 * kind :, row, column][
                        :2
                    ]
                    corners[kind] = clip(
                        (column + dx.item()) * 8, (row + dy.item()) * 8
                    )
            for label, logit in enumerate(maps.cls_scores[level][:, i, j]):
                score = logit.sigmoid().item()
                if score > score_thr:
                    result.append((score, label, level, *sum(corners, ())))
    return sorted(result)


@pytest.mark.parametrize('nms_pre', [5, 1000])
def test_decoding_an_image(nms_pre):
    maps = image_maps()
    result = decode(maps, nms_pre)
    rows = torch.cat(
        [
            result.scores[:, None],
            result.labels[:, None],
            result.level,
            result.bboxes,
        ],
        dim=1,
    ).tolist()
    expected = slow_decode(maps, nms_pre, 0.3)
    assert len(rows) == len(expected) > 10
    torch.testing.assert_close(
        torch.tensor(sorted(rows)),
        torch.tensor(expected),
        rtol=1e-5,
        atol=1e-4,
    )


def test_boxes_of_the_finest_level_stay():
    maps = image_maps()
    before = decode(maps)
    maps.corner_offsets[0].add_(0.5)
    after = decode(maps)
    finest = before.level[:, 0] == 0
    assert torch.equal(before.bboxes[finest], after.bboxes[finest])
    assert not torch.equal(before.bboxes[~finest], after.bboxes[~finest])


def test_nothing_above_the_threshold():
    result = decode(image_maps(), score_thr=1.0)
    assert result.bboxes.shape == (0, 4)
    assert len(result.scores) == len(result.labels) == 0
