"""Move the corners of boxes to the likeliest corners nearby.

Dimension key: N boxes, h and w the size of a level.
"""

import torch
from torch import Tensor

# Channels of corner maps.
TOP_LEFT, BOTTOM_RIGHT = 0, 1


def finer_level(level: int) -> int | None:
    """Return the level whose heat map moves the corners of a level's boxes.

    None for the finest level, whose boxes stay as they are.
    """
    return (level - 1) // 2 if level else None


def snap_boxes(
    boxes: Tensor, scores: Tensor, offsets: Tensor, stride: int
) -> Tensor:
    """Move both corners of boxes to the likeliest corners nearby.

    Args:
        boxes: x1, y1, x2, y2 in pixels, (N, 4).
        scores: Logits of top-left and bottom-right corners, (2, h, w).
        offsets: Offsets x and y from a point to each corner, in strides,
            (4, h, w).
        stride: Pixels between the points of the maps.

    Returns:
        Boxes (N, 4).
    """
    return torch.cat(
        [
            _snap(corners, scores[kind], offsets[2 * kind :][:2], stride)
            for kind, corners in (
                (TOP_LEFT, boxes[:, :2]),
                (BOTTOM_RIGHT, boxes[:, 2:]),
            )
        ],
        dim=1,
    )


def _snap(
    corners: Tensor, scores: Tensor, offsets: Tensor, stride: int
) -> Tensor:
    """Move corners (N, 2) to the likeliest of the four points around them."""
    height, width = scores.shape
    last = corners.new_tensor([max(width - 2, 0), max(height - 2, 0)])
    first = (corners / stride).clamp(min=0).minimum(last).long()
    x = torch.stack([first[:, 0], first[:, 0] + 1], 1).clamp(max=width - 1)
    y = torch.stack([first[:, 1], first[:, 1] + 1], 1).clamp(max=height - 1)
    cells = y[:, :, None] * width + x[:, None]  # (N, 2, 2)
    cells = cells.flatten(1)  # (N, 4)
    hottest = scores.flatten()[cells].argmax(1, keepdim=True)
    cell = cells.gather(1, hottest)[:, 0]
    point = torch.stack([cell % width, cell // width], 1)
    offset = offsets.flatten(1)[:, cell].T  # (N, 2)
    return (point + offset) * stride
