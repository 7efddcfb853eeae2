"""Non-maximum suppression, hard and soft.

Overlap is intersection over union; a box spans `x2 - x1 + offset` pixels.
"""

import numpy as np
import torch
from torch import Tensor

from swin_dense.compat.operators.sampling import compute_dtype

# Boxes that are decided together. Within a chunk all pairs are compared at
# once. The boxes that a chunk keeps are then compared with the boxes left.
CHUNK = 256
# Boxes that are compared with a chunk at once: the overlaps fit the cache.
TILE = 2048

NAIVE, LINEAR, GAUSSIAN = 0, 1, 2


def nms(
    boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0
) -> Tensor:
    """Return the boxes that overlap no better box by more than a threshold.

    Args:
        boxes: x1, y1, x2, y2, (N, 4).
        scores: (N,). Equal scores keep their order.
        iou_threshold: Overlap above which the box of lower score is dropped.
        offset: 0, or 1 for boxes whose last pixel is inside.

    Returns:
        Indices of the kept boxes, best first, int64.
    """
    order = scores.argsort(descending=True, stable=True)
    sides = boxes[order].to(compute_dtype(boxes)).T.contiguous()  # (4, N)
    kept = [order[:0]]  # so that no boxes give an empty tensor
    while len(order):
        chunk, rest = sides[:, :CHUNK], sides[:, CHUNK:]
        alive = _decide(_overlap(chunk, chunk, offset) > iou_threshold)
        kept.append(order[:CHUNK][alive])
        chunk = chunk[:, alive]
        not_suppressed = [
            ~(_overlap(chunk, part, offset) > iou_threshold).any(0)
            for part in rest.split(TILE, 1)
        ]
        left = torch.cat(not_suppressed)
        order, sides = order[CHUNK:][left], rest[:, left]
    return torch.cat(kept)


def nms_match(
    boxes: Tensor, scores: Tensor, iou_threshold: float
) -> list[list[int]]:
    """Group every kept box with the boxes that it suppresses.

    Args:
        boxes: x1, y1, x2, y2, (N, 4).
        scores: (N,). Equal scores keep their order.
        iou_threshold: Overlap from which a box joins a group.

    Returns:
        Indices of each group, the kept box first, all by falling score.
    """
    order = scores.argsort(descending=True, stable=True)
    sides = boxes[order].to(compute_dtype(boxes)).T.contiguous()  # (4, N)
    matched = []
    while len(order):
        joins = _overlap(sides[:, :1], sides, 0)[0] >= iou_threshold
        joins[0] = True  # a box without area has no overlap with itself
        matched.append(order[joins].tolist())
        order, sides = order[~joins], sides[:, ~joins]
    return matched


def _decide(suppresses: Tensor) -> Tensor:
    """Return the boxes of a chunk that no kept box before them suppresses.

    The rule is applied to all boxes at once, starting from "all are kept",
    until nothing changes. After i rounds the first i boxes are decided.

    Args:
        suppresses: True where the row's box suppresses the column's box,
            (n, n).

    Returns:
        True for each kept box, (n,).
    """
    suppresses = suppresses.triu(1)
    alive = suppresses.new_ones(len(suppresses))
    while True:
        after = ~suppresses[alive].any(0)
        if torch.equal(after, alive):
            return alive
        alive = after


def _overlap(first: Tensor, second: Tensor, offset: int) -> Tensor:
    """Return the intersection over union of all pairs.

    Args:
        first: x1, y1, x2, y2 in rows, (4, n).
        second: (4, m).

    Returns:
        (n, m); NaN for two boxes without area.
    """
    areas = [
        (side[2] - side[0] + offset) * (side[3] - side[1] + offset)
        for side in (first, second)
    ]
    x1, y1, x2, y2 = first[..., None]
    width = torch.minimum(x2, second[2])
    width -= torch.maximum(x1, second[0])
    height = torch.minimum(y2, second[3])
    height -= torch.maximum(y1, second[1])
    if offset:
        width += offset
        height += offset
    inside = width.clamp_(min=0).mul_(height.clamp_(min=0))
    return inside / (areas[0][:, None] + areas[1]).sub_(inside)


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int = 0,
) -> tuple[Tensor, Tensor]:
    """Lower the scores of boxes that overlap a better box (Soft-NMS).

    See https://arxiv.org/abs/1704.04503. In each step the box that has the
    best score at that moment is kept and lowers the scores of the boxes that
    are left. A box whose score falls below `min_score` is dropped.

    Args:
        boxes: x1, y1, x2, y2, (N, 4).
        scores: (N,).
        iou_threshold: Overlap from which NAIVE and LINEAR lower a score.
        sigma: Width of the Gaussian of GAUSSIAN.
        min_score: Score below which a box is dropped.
        method: NAIVE, LINEAR or GAUSSIAN.
        offset: 0, or 1 for boxes whose last pixel is inside.

    Returns:
        Boxes with their lowered scores, (n, 5), and their indices, (n,), on
        the CPU.
    """
    dtype = compute_dtype(boxes)
    rows = torch.cat([boxes.to(dtype), scores[:, None].to(dtype)], 1)  # (N, 5)
    state = rows.detach().cpu().numpy()
    index = np.arange(len(state))
    area = (state[:, 2] - state[:, 0] + offset) * (
        state[:, 3] - state[:, 1] + offset
    )
    done = 0
    # Boxes are swapped exactly as the compiled operator swaps them, because
    # the order of the boxes decides between equal scores.
    while done < len(index):
        best = done + int(state[done:, 4].argmax())
        for array in (state, area, index):
            array[[done, best]] = array[[best, done]]
        box = state[done]
        others = state[done + 1 :]
        width = (
            np.minimum(box[2], others[:, 2])
            - np.maximum(box[0], others[:, 0])
            + offset
        )
        height = (
            np.minimum(box[3], others[:, 3])
            - np.maximum(box[1], others[:, 1])
            + offset
        )
        inside = width.clip(min=0) * height.clip(min=0)
        with np.errstate(invalid='ignore', divide='ignore'):
            overlap = inside / (area[done] + area[done + 1 :] - inside)
        # Two boxes without area do not overlap. (The compiled operator turns
        # the score into NaN with GAUSSIAN.)
        overlap = np.nan_to_num(overlap)
        if method == GAUSSIAN:
            others[:, 4] *= np.exp(-overlap * overlap / sigma)
        else:
            lowered = 1 - overlap if method == LINEAR else 0.0
            others[:, 4] *= np.where(overlap >= iou_threshold, lowered, 1)
        done += 1
        count = done + _drop(
            others[:, 4] < min_score, done, state, area, index
        )
        state, area, index = state[:count], area[:count], index[:count]
    return torch.from_numpy(state), torch.from_numpy(index)


def _drop(dead: np.ndarray, start: int, *arrays: np.ndarray) -> int:
    """Move the last kept boxes into the places of dropped boxes, in order.

    Args:
        dead: True for each box from `start` on that is dropped.
        start: Number of boxes before the first box of `dead`.
        arrays: Arrays with one row per box, changed in place.

    Returns:
        The number of boxes left from `start` on.
    """
    count = int((~dead).sum())
    holes = start + np.flatnonzero(dead[:count])
    fill = start + count + np.flatnonzero(~dead[count:])[::-1]
    for array in arrays:
        array[holes] = array[fill]
    return count
