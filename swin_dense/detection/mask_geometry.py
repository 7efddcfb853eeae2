"""Compute bounding boxes and areas of COCO masks without rasterising them.

Polygons are measured by their points, run-length encodings (RLE) by the
lengths of their runs. All masks of one kind are measured at once.

H and W are the height and width of an image in pixels, N is a number of masks.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

# Each character of a compressed RLE is 48 plus 5 bits of a number and a sixth
# bit that is set if the number continues in the next character.
OFFSET, MORE, SIGN, PAYLOAD = 48, 0x20, 0x10, 0x1F
MAX_CHARACTERS = 7  # of one number: 35 bits


def _starts(lengths: np.ndarray) -> np.ndarray:
    """Return the start of each sequence in their concatenation."""
    return np.cumsum(lengths) - lengths


def _spans(lengths: np.ndarray) -> np.ndarray:
    """Return the position of each element in its sequence."""
    return np.arange(lengths.sum()) - np.repeat(_starts(lengths), lengths)


def decode_counts(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Decode the run lengths of compressed RLEs, as pycocotools writes them.

    Args:
        texts: The N strings of counts.

    Returns:
        The run lengths of all RLEs, concatenated, int64; and the number of
        runs of each RLE `(N,)`, 0 if its string is not an RLE.
    """
    encoded = [text.encode('latin-1', 'replace') for text in texts]
    sizes = np.array([len(code) for code in encoded], np.int64)
    code = np.frombuffer(b''.join(encoded), np.uint8).astype(np.int64) - OFFSET
    owner = np.repeat(np.arange(len(texts)), sizes)
    valid = sizes > 0
    valid[owner[(code < 0) | (code > 63)]] = False
    last = (code & MORE) == 0
    ends = _starts(sizes) + sizes - 1
    valid[valid] &= last[ends[valid]]
    kept = valid[owner]
    code, last, owner = code[kept], last[kept], owner[kept]
    if not code.size:
        return np.zeros(0, np.int64), np.zeros(len(texts), np.int64)
    stops = np.flatnonzero(last)
    digits = np.diff(stops, prepend=-1)
    too_long = digits > MAX_CHARACTERS
    places = np.minimum(_spans(digits), MAX_CHARACTERS)
    numbers = np.add.reduceat(
        (code & PAYLOAD) << 5 * places, stops + 1 - digits
    )
    negative = (code[stops] & SIGN) != 0
    numbers -= np.where(
        negative, np.int64(1) << 5 * np.minimum(digits, MAX_CHARACTERS), 0
    )
    owner = owner[stops]
    valid[owner[too_long]] = False
    lengths = np.bincount(owner, minlength=len(texts))
    # From the fourth number on, each is stored as the difference to the
    # number two places before.
    position = _spans(lengths)
    runs = numbers.copy()
    for parity, first in ((0, 2), (1, 1)):
        chosen = (position % 2 == parity) & (position >= first)
        total = np.cumsum(numbers[chosen])
        begins = position[chosen] == first
        before = (total - numbers[chosen])[begins]
        runs[chosen] = total - np.repeat(
            before, np.diff(np.append(np.flatnonzero(begins), len(total)))
        )
    keep = valid[owner]
    return runs[keep], np.where(valid, lengths, 0)


def measure_runs(
    counts: np.ndarray, lengths: np.ndarray, heights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Measure masks by their run lengths.

    Args:
        counts: Run lengths of zeros and ones in turn, down the columns, of
            all masks, concatenated.
        lengths: Number of runs of each mask `(N,)`.
        heights: H of each mask `(N,)`.

    Returns:
        Bounding boxes (x1, y1, x2, y2) with excluded ends `(N, 4)`, zeros for
        empty masks; and the numbers of pixels `(N,)`.
    """
    boxes = np.zeros((len(lengths), 4))
    owner = np.repeat(np.arange(len(lengths)), lengths)
    total = np.cumsum(counts)
    starts = _starts(lengths)
    before = np.concatenate(([0], total))[starts]
    ones = (_spans(lengths) % 2 == 1) & (counts > 0)
    owner = owner[ones]
    areas = np.bincount(owner, counts[ones], len(lengths)).astype(np.int64)
    if not owner.size:
        return boxes, areas
    end = (total[ones] - before[owner]) - 1  # the last pixel of each run
    start = end + 1 - counts[ones]
    height = np.maximum(heights[owner], 1)
    crosses = start // height != end // height
    sides = np.stack(
        [
            start // height,
            np.where(crosses, 0, start % height),
            -(end // height) - 1,
            -np.where(crosses, height, end % height + 1),
        ]
    )
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    boxes[owner[first]] = np.abs(np.minimum.reduceat(sides, first, axis=1)).T
    return boxes, areas


def measure_polygons(
    polygons: Sequence[Sequence[Sequence[float]]],
) -> tuple[np.ndarray, np.ndarray]:
    """Measure polygons by their points.

    Args:
        polygons: N polygons, each a list of at least one ring `[x, y, x, y,
            ...]` of at least three points.

    Returns:
        Bounding boxes (x1, y1, x2, y2) `(N, 4)`, with NaN from NaN points;
        and bool `(N,)`, True if the polygon covers an area, False if all its
        rings are lines or points.
    """
    rings = [ring for polygon in polygons for ring in polygon]
    sizes = np.fromiter(map(len, rings), np.int64, len(rings)) // 2
    points = np.fromiter(
        chain.from_iterable(rings), float, 2 * sizes.sum()
    ).reshape(-1, 2)  # (points, 2)
    starts = _starts(sizes)
    per_mask = np.fromiter(map(len, polygons), np.int64, len(polygons))
    first = _starts(per_mask)
    low = np.minimum.reduceat(np.minimum.reduceat(points, starts), first)
    high = np.maximum.reduceat(np.maximum.reduceat(points, starts), first)
    # A ring is a line if all its points are on one line through the first:
    # their cross products with the farthest point are zero.
    with np.errstate(invalid='ignore', over='ignore'):
        offsets = points - np.repeat(points[starts], sizes, 0)
        squares = (offsets**2).sum(1)
        most = np.repeat(np.maximum.reduceat(squares, starts), sizes)
        owner = np.repeat(np.arange(len(rings)), sizes)
        farthest = np.flatnonzero(squares == most)
        pick = np.zeros(len(rings), np.int64)
        pick[owner[farthest]] = farthest
        axis = np.repeat(offsets[pick], sizes, 0)
        cross = np.abs(offsets[:, 0] * axis[:, 1] - offsets[:, 1] * axis[:, 0])
        spread = np.maximum.reduceat(cross, starts)
    covers = np.logical_or.reduceat(~(spread < 1e-6), first)
    return np.concatenate([low, high], 1), covers


def box_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the IoU `(N,)` of pairs of boxes (x1, y1, x2, y2) `(N, 4)`."""
    low = np.maximum(boxes[:, :2], others[:, :2])
    high = np.minimum(boxes[:, 2:], others[:, 2:])
    shared = np.maximum(high - low, 0).prod(1)
    areas: Any = sum(
        np.maximum(corners[:, 2:] - corners[:, :2], 0).prod(1)
        for corners in (boxes, others)
    )
    return shared / np.maximum(areas - shared, 1e-9)
