"""Blending of tiles: weights, results and memory."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from swin_dense.segmentation.tiles import blend, count_tiles, resize_in_strips

# Rounding of sums of a few products in float32.
ROUNDING = 1e-5


def whole(predict, shape, tile, overlap):
    """Put all parts into a tensor; check that each pixel comes once."""
    result, seen = None, torch.zeros(shape)
    for rows, columns, logits in blend(predict, shape, tile, overlap):
        if result is None:
            result = logits.new_full((len(logits), *shape), torch.nan)
        result[:, rows, columns] = logits
        seen[rows, columns] += 1
    assert (seen == 1).all()
    return result


@pytest.mark.parametrize('shape', [(50, 31), (31, 50), (16, 16), (7, 60)])
@pytest.mark.parametrize('tile', [(16, 12), (9, 20), (64, 64)])
@pytest.mark.parametrize('overlap', [0.0, 0.25, 0.5, 0.8, 0.99])
def test_no_seams_where_the_place_does_not_matter(shape, tile, overlap):
    """A model that sees one pixel gives the same logits with tiles."""
    logits = torch.randn(3, *shape)
    blended = whole(lambda r, c: logits[:, r, c], shape, tile, overlap)
    torch.testing.assert_close(blended, logits, atol=ROUNDING, rtol=0)


def test_one_tile_is_the_image():
    """The result is exact, since the weight of the tile is 1."""
    logits = torch.randn(3, 20, 30)
    blended = whole(lambda r, c: logits[:, r, c], (20, 30), (32, 32), 0.25)
    assert torch.equal(blended, logits)


def test_weighted_mean_by_hand():
    """Two tiles of 8 share 4 pixels, with linearly changing weights."""
    values = {0: 0.0, 4: 10.0}
    blended = whole(
        lambda r, c: torch.full((1, 8, 3), values[r.start]),
        (12, 3),
        (8, 8),
        0.5,
    )
    expected = torch.tensor([0.0] * 4 + [2.0, 4.0, 6.0, 8.0] + [10.0] * 4)
    torch.testing.assert_close(
        blended,
        expected[None, :, None].expand(1, 12, 3),
        atol=ROUNDING,
        rtol=0,
    )


def test_plane_against_the_plain_sum():
    """Compare with the sum of all weighted tiles over the sum of weights."""
    shape, tile, overlap = (40, 33), (16, 12), 0.4
    logits, sums, weights = {}, torch.zeros(2, *shape), torch.zeros(shape)

    def predict(rows, columns):
        key = rows.start, columns.start
        logits[key] = torch.randn(2, 16, 12)
        return logits[key]

    blended = whole(predict, shape, tile, overlap)
    assert len(logits) == count_tiles(shape, tile, overlap) == 4 * 4
    # Tops are 0, 8, 16, 24 and lefts are 0, 7, 14, 21.
    rows = torch.arange(1.0, 17)
    columns = torch.arange(1.0, 13)
    fall = torch.minimum(rows, 17 - rows) / 9
    fade = torch.minimum(columns, 13 - columns) / 6
    weight = fall.clamp(max=1)[:, None] * fade.clamp(max=1)
    for (top, left), value in logits.items():
        sums[:, top : top + 16, left : left + 12] += weight * value
        weights[top : top + 16, left : left + 12] += weight
    torch.testing.assert_close(
        blended, sums / weights, atol=ROUNDING, rtol=ROUNDING
    )


class Largest(TorchDispatchMode):
    """Records the number of elements of the largest tensor."""

    def __init__(self):
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.numel = max(self.numel, made.numel())
        return made


@pytest.mark.parametrize('turned', [False, True])
def test_memory_does_not_grow_with_the_longer_side(turned):
    """No tensor is larger than a tile or the strip."""
    largest = []
    for length in (200, 400, 2000):
        shape = (64, length) if turned else (length, 64)
        with Largest() as record:
            for _, _, logits in blend(
                lambda r, c: torch.ones(5, 32, 32), shape, (32, 32), 0.25
            ):
                assert logits.numel() <= 5 * 32 * 32
        largest.append(record.numel)
    # The strip: 5 classes, 8 rows (or 9, as tiles are evenly spread) of 64.
    assert max(largest) == 5 * 32 * 32
    for side in (1000, 2000):
        with Largest() as record:
            for _ in blend(
                lambda r, c: torch.ones(5, 32, 32),
                (side, side),
                (32, 32),
                0.25,
            ):
                pass
        assert record.numel <= 5 * 9 * side


@pytest.mark.parametrize(
    'tile, overlap, message',
    [
        ((0, 8), 0.25, 'positive|such as'),
        ((8,), 0.25, 'a height and a width'),
        ((8, 8), 1.0, 'from 0 to below 1, got 1.0'),
        ((8, 8), -0.1, 'from 0 to below 1'),
    ],
)
def test_bad_tiles(tile, overlap, message):
    with pytest.raises(ValueError, match=message):
        next(blend(lambda r, c: torch.ones(1, 8, 8), (8, 8), tile, overlap))


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('shape', [(31, 47), (7, 9), (3, 4), (1, 1)])
def test_strips_equal_the_resized_map(shape, align_corners):
    logits = torch.randn(3, 7, 9)
    expected = F.interpolate(
        logits[None], shape, mode='bilinear', align_corners=align_corners
    )[0]
    for most in (1, 3 * shape[1] * 5, 10**6):
        blended = torch.full_like(expected, torch.nan)
        for rows, strip in resize_in_strips(
            logits, shape, align_corners, most
        ):
            blended[:, rows] = strip
        torch.testing.assert_close(blended, expected, atol=1e-5, rtol=0)
