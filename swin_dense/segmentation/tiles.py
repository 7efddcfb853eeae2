"""Predict logits of large images tile by tile, blended where tiles overlap.

C is the number of classes, H and W are the height and width of the image, h
and w those of a tile, in pixels.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Block = tuple[slice, slice, Tensor]


def check_tiling(tile: Sequence[int], overlap: float) -> None:
    """Check the size and overlap of tiles.

    Args:
        tile: Size of a tile (h, w).
        overlap: Least overlap of neighbours, as a share of their side.

    Raises:
        ValueError: If `tile` is not a positive height and width, or `overlap`
            is not in [0, 1).
    """
    if len(tile) != 2 or min(tile) < 1:
        raise ValueError(
            f'a tile must be a height and a width in pixels, such as '
            f'(512, 512), got {tuple(tile)}'
        )
    if not 0 <= overlap < 1:
        raise ValueError(
            'the overlap of tiles must be a share of their side, from '
            f'0 to below 1, got {overlap}'
        )


def count_tiles(
    shape: Sequence[int], tile: Sequence[int], overlap: float
) -> int:
    """Return the number of tiles of an image.

    Args:
        shape: Size of the image (H, W).
        tile: Size of a tile (h, w).
        overlap: Least overlap of neighbours, as a share of their side.
    """
    rows, columns = (
        len(_starts(length, min(length, side), overlap))
        for length, side in zip(shape, tile)
    )
    return rows * columns


def blend(
    predict: Callable[[slice, slice], Tensor],
    shape: Sequence[int],
    tile: Sequence[int],
    overlap: float = 0.25,
) -> Iterator[Block]:
    """Predict an image tile by tile.

    All tiles have the same size and are spread evenly; a tile is not larger
    than the image. Where tiles overlap, the result is their weighted mean. The
    weight of a tile falls linearly towards its borders over the length of the
    overlap, because a model sees little context there.

    Kept in memory are one tile, its overlap with the next tile, and on the
    CPU a strip along the shorter side of the image, as high as the overlap.
    Memory thus grows with the shorter side only: with an overlap of a quarter,
    by 0.25 * h * C numbers per pixel of that side.

    Args:
        predict: Called with rows and columns of a tile as slices; returns the
            logits (C, h, w) of its pixels.
        shape: Size of the image (H, W).
        tile: Size of a tile (h, w).
        overlap: Least overlap of neighbours, as a share of their side.

    Yields:
        Rows and columns as slices, and their logits (C, rows, columns). The
        parts cover each pixel of the image once.

    Raises:
        ValueError: If `tile` or `overlap` is out of range.
    """
    check_tiling(tile, overlap)
    if shape[1] > shape[0]:  # the strip lies along the shorter side
        transposed = blend(
            lambda rows, columns: predict(columns, rows).mT,  # (C, h, w)
            shape[::-1],
            tile[::-1],
            overlap,
        )
        for columns, rows, logits in transposed:
            yield rows, columns, logits.mT  # (C, rows, columns)
        return
    height, width = (min(pair) for pair in zip(shape, tile))
    tops = _starts(shape[0], height, overlap)
    lefts = _starts(shape[1], width, overlap)
    falls = _weights(tops, shape[0], height)
    fades = _weights(lefts, shape[1], width)
    # Weighted sums of the tiles above, and the rows that they reach down.
    strip, above = None, 0
    for top, bottom, fall in zip(tops, [*tops[1:], shape[0]], falls):
        done = bottom - top  # rows that no later tile reaches
        # Weighted sum of the tiles to the left, and the column of their end.
        left_sum, reached = None, 0
        for left, right, fade in zip(lefts, [*lefts[1:], shape[1]], fades):
            stop = left + width
            logits = predict(slice(top, top + height), slice(left, stop))
            block = logits * (fall[:, None] * fade).to(logits)
            del logits
            if strip is None:
                common = _common(tops, height)
                strip = torch.zeros(len(block), common, shape[1])
            if left_sum is not None:
                block[:, :, : reached - left] += left_sum
            fresh = strip[:, :above, reached:stop]
            block[:, :above, reached - left :] += fresh.to(block)
            reached = stop
            # (C, h, right - left) and (C, h, stop - right)
            block, left_sum = block.tensor_split([right - left], dim=2)
            yield slice(top, bottom), slice(left, right), block[:, :done]
            strip[:, : height - done, left:right] = block[:, done:]
            left_sum = left_sum.clone()  # frees the rest of the block
        above = height - done


def resize_in_strips(
    logits: Tensor, shape: Sequence[int], align_corners: bool, most: int
) -> Iterator[tuple[slice, Tensor]]:
    """Resize logits by bilinear interpolation, some rows at a time.

    Args:
        logits: Logits (C, h, w).
        shape: New size (H, W).
        align_corners: See `torch.nn.functional.interpolate`.
        most: Largest number of logits of a strip.

    Yields:
        Rows of the new size as a slice, and their logits (C, rows, W).
    """
    classes, old, _ = logits.shape
    height, width = shape
    rows = torch.arange(height, dtype=torch.float64)
    if align_corners:
        place = rows * (old - 1) / max(height - 1, 1)
    else:
        place = ((rows + 0.5) * old / height - 0.5).clamp(min=0)
    above = place.long().clamp(max=old - 1)
    below = (above + 1).clamp(max=old - 1)
    share = (place - above).to(logits)
    step = max(1, most // (classes * width))
    for start in range(0, height, step):
        part = slice(start, min(start + step, height))
        first, second = (
            logits[:, index[part].to(logits.device)]
            for index in (above, below)
        )
        strip = torch.lerp(first, second, share[part, None])  # (C, rows, w)
        yield (
            part,
            F.interpolate(
                strip[None],
                (strip.shape[1], width),
                mode='bilinear',
                align_corners=align_corners,
            )[0],  # (C, rows, W)
        )


def _starts(length: int, side: int, overlap: float) -> list[int]:
    """Return the first pixels of evenly spread tiles along an axis."""
    step = side - min(int(overlap * side), side - 1)
    gaps = math.ceil((length - side) / step)
    return [round(i * (length - side) / max(gaps, 1)) for i in range(gaps + 1)]


def _common(starts: Sequence[int], side: int) -> int:
    """Return the largest overlap of neighbours along an axis, in pixels."""
    return max((a + side - b for a, b in zip(starts, starts[1:])), default=0)


def _weights(starts: Sequence[int], length: int, side: int) -> Tensor:
    """Return the weights of the pixels of each tile along an axis.

    The weights of a pixel add up to 1. The weight in the image is the product
    of both axes, so those add up to 1, too.

    Returns:
        Weights (tiles, side), float64.
    """
    place = torch.arange(1, side + 1, dtype=torch.float64)
    slope = torch.minimum(place, place.flip(0)) / (_common(starts, side) + 1)
    weight = slope.clamp(max=1)
    total = torch.zeros(length, dtype=torch.float64)
    for start in starts:
        total[start : start + side] += weight
    return torch.stack([weight / total[s : s + side] for s in starts])
