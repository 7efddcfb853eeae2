"""Logits of large images: tile by tile, blended where tiles overlap.

Key: C classes, H and W image, h and w tile, in pixels.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Block = tuple[slice, slice, Tensor]


def check_tiling(tile: Sequence[int], overlap: float) -> None:
    """Raise unless images can be cut this way.

    Raises:
        ValueError: `tile` is not a positive height and width, or `overlap`
            is not a share that leaves steps of a pixel at least.
    """
    if len(tile) != 2 or min(tile) < 1:
        raise ValueError(
            f'a tile is a height and a width in pixels, such as '
            f'(512, 512), got {tuple(tile)}'
        )
    if not 0 <= overlap < 1:
        raise ValueError(
            'the overlap of tiles is a share of their side, from '
            f'0 to below 1, got {overlap}'
        )


def count_tiles(
    shape: Sequence[int], tile: Sequence[int], overlap: float
) -> int:
    """How many tiles an image of `shape` (H, W) has."""
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

    All tiles have one size, that of `tile` or of the image where that is
    smaller, and are spread evenly. Where they overlap, the result is the
    weighted mean: a tile's weight falls in a line towards its borders, over
    the length of the overlap, as little is seen of what lies beyond.

    Held at a time are a tile, what it shares with the next, and a strip along
    the shorter side of the image, as high as the overlap, on the CPU. Memory
    thus grows with that side alone: for an overlap of a quarter by
    0.25 * h * C numbers for each of its pixels.

    Args:
        predict: Takes the rows and the columns of a tile, returns the logits
            of its pixels (C, h, w).
        shape: Of the image (H, W).
        tile: Size of a tile (h, w).
        overlap: The least overlap of neighbours, as a share of their side.

    Yields:
        Rows, columns and logits of parts of the image that together cover
        each pixel once.

    Raises:
        ValueError: See `check_tiling`.
    """
    check_tiling(tile, overlap)
    if shape[1] > shape[0]:  # the strip lies along the shorter side
        turned = blend(
            lambda rows, columns: predict(columns, rows).mT,
            shape[::-1],
            tile[::-1],
            overlap,
        )
        for columns, rows, logits in turned:
            yield rows, columns, logits.mT
        return
    height, width = (min(pair) for pair in zip(shape, tile))
    tops = _starts(shape[0], height, overlap)
    lefts = _starts(shape[1], width, overlap)
    falls = _weights(tops, shape[0], height)
    fades = _weights(lefts, shape[1], width)
    strip, above = None, 0  # sums of the tiles above, and rows they reach
    for top, bottom, fall in zip(tops, [*tops[1:], shape[0]], falls):
        done = bottom - top  # rows that no later tile reaches
        beside, reached = None, 0  # sums of tiles to the left, and their end
        for left, right, fade in zip(lefts, [*lefts[1:], shape[1]], fades):
            stop = left + width
            logits = predict(slice(top, top + height), slice(left, stop))
            block = logits * (fall[:, None] * fade).to(logits)
            del logits
            if strip is None:
                common = _common(tops, height)
                strip = torch.zeros(len(block), common, shape[1])
            if beside is not None:
                block[:, :, : reached - left] += beside
            fresh = strip[:, :above, reached:stop]
            block[:, :above, reached - left :] += fresh.to(block)
            reached = stop
            block, beside = block.tensor_split([right - left], dim=2)
            yield slice(top, bottom), slice(left, right), block[:, :done]
            strip[:, : height - done, left:right] = block[:, done:]
            beside = beside.clone()  # lets go of the rest
        above = height - done


def resize_in_strips(
    logits: Tensor, shape: Sequence[int], align_corners: bool, most: int
) -> Iterator[tuple[slice, Tensor]]:
    """Resize logits by bilinear interpolation, some rows at a time.

    Args:
        logits: (C, h, w).
        shape: The new size (H, W).
        align_corners: See `torch.nn.functional.interpolate`.
        most: How many numbers to hold at a time.

    Yields:
        Rows of the new size, and their logits (C, rows, W).
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
            )[0],
        )


def _starts(length: int, side: int, overlap: float) -> list[int]:
    """First pixels of the tiles along an axis, evenly spread."""
    step = side - min(int(overlap * side), side - 1)
    gaps = math.ceil((length - side) / step)
    return [round(i * (length - side) / max(gaps, 1)) for i in range(gaps + 1)]


def _common(starts: Sequence[int], side: int) -> int:
    """The most pixels that neighbours along an axis have in common."""
    return max((a + side - b for a, b in zip(starts, starts[1:])), default=0)


def _weights(starts: Sequence[int], length: int, side: int) -> Tensor:
    """Weights of the pixels of each tile along an axis, (tiles, side).

    Those of a pixel add up to 1. They are products of one axis each, so that
    the same holds in the plane.
    """
    place = torch.arange(1, side + 1, dtype=torch.float64)
    slope = torch.minimum(place, place.flip(0)) / (_common(starts, side) + 1)
    weight = slope.clamp(max=1)
    total = torch.zeros(length, dtype=torch.float64)
    for start in starts:
        total[start : start + side] += weight
    return torch.stack([weight / total[s : s + side] for s in starts])
