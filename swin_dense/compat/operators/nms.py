"""Non-maximum suppression, hard and soft.

Overlap is intersection over union; a box spans `x2 - x1 + offset` pixels.
"""

import numpy as np
import torch
from torch import Tensor

from swin_dense.compat.operators.sampling import compute_dtype

# Boxes decided together. Within a block all pairs are compared at once;
# what a block keeps is then compared with the boxes that are left.
BLOCK = 256
# Boxes compared with a block at once: what is computed stays in the cache.
TILE = 2048

NAIVE, LINEAR, GAUSSIAN = 0, 1, 2


def nms(
    boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0
) -> Tensor:
    """Keep boxes that overlap no better box by more than the threshold.

    Args:
        boxes: x1, y1, x2, y2, (N, 4).
        scores: (N,). Equal scores keep their order.
        iou_threshold: Overlap above which the box of lower score goes.
        offset: 0, or 1 for boxes whose last pixel is inside.

    Returns:
        Indices of the kept boxes, best first, int64.
    """
    order = scores.argsort(descending=True, stable=True)
    sides = boxes[order].to(compute_dtype(boxes)).T.contiguous()  # (4, N)
    kept = [order[:0]]
    while len(order):
        block, rest = sides[:, :BLOCK], sides[:, BLOCK:]
        alive = _decide(_overlap(block, block, offset) > iou_threshold)
        kept.append(order[:BLOCK][alive])
        block = block[:, alive]
        free = [
            ~(_overlap(block, part, offset) > iou_threshold).any(0)
            for part in rest.split(TILE, 1)
        ]
        free = torch.cat(free)
        order, sides = order[BLOCK:][free], rest[:, free]
    return torch.cat(kept)


def nms_match(
    boxes: Tensor, scores: Tensor, iou_threshold: float
) -> list[list[int]]:
    """Group every kept box with those that it suppresses.

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
        joins[0] = True  # even where it has no area
        matched.append(order[joins].tolist())
        order, sides = order[~joins], sides[:, ~joins]
    return matched


def _decide(suppresses: Tensor) -> Tensor:
    """Resolve a block: a box stays if no staying box before it suppresses it.

    Starting from all boxes, the rule is applied to the whole block until
    nothing changes; after i rounds the first i boxes are certainly right.

    Args:
        suppresses: Which box (row) suppresses which (column), (n, n) bool.

    Returns:
        Mask of the boxes that stay, (n,).
    """
    suppresses = suppresses.triu(1)
    alive = suppresses.new_ones(len(suppresses))
    while True:
        after = ~suppresses[alive].any(0)
        if torch.equal(after, alive):
            return alive
        alive = after


def _overlap(first: Tensor, second: Tensor, offset: int) -> Tensor:
    """Return intersection over union of all pairs.

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
    """Lower the scores of boxes that overlap a better one (Soft-NMS).

    See https://arxiv.org/abs/1704.04503. Boxes are taken by their score at
    that moment, the best first; a box whose score falls below `min_score` is
    dropped.

    Args:
        boxes: x1, y1, x2, y2, (N, 4).
        scores: (N,).
        iou_threshold: Overlap from which NAIVE and LINEAR act.
        sigma: Width of GAUSSIAN.
        min_score: Score below which a box is dropped.
        method: NAIVE, LINEAR or GAUSSIAN.
        offset: 0, or 1 for boxes whose last pixel is inside.

    Returns:
        Boxes with their lowered scores, (n, 5), and their indices, (n,), on
        the CPU.
    """
    dtype = compute_dtype(boxes)
    state = torch.cat([boxes.to(dtype), scores[:, None].to(dtype)], 1)
    state = state.detach().cpu().numpy()  # one row per box: box, score
    index = np.arange(len(state))
    area = (state[:, 2] - state[:, 0] + offset) * (
        state[:, 3] - state[:, 1] + offset
    )
    done = 0
    # Boxes are moved exactly as the compiled operator moves them, because
    # their order decides between equal scores.
    while done < len(index):
        best = done + state[done:, 4].argmax()
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
        # the score into NaN in the gaussian case.)
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
    """Fill the places of dropped boxes, first to last, from the end.

    Args:
        dead: Which boxes from `start` on are dropped.
        start: Position of the first of them in the arrays.
        arrays: Changed in place.

    Returns:
        The number of boxes left from `start` on.
    """
    count = int((~dead).sum())
    holes = start + np.flatnonzero(dead[:count])
    fill = start + count + np.flatnonzero(~dead[count:])[::-1]
    for array in arrays:
        array[holes] = array[fill]
    return count
