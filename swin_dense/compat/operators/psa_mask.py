"""Point-wise spatial attention (PSANet, ECCV 2018).

The attention of a pixel is predicted over a window around the pixel. The
operator writes it into a map, with zeros outside the window.

Dimension key: B images, H and W pixels of the map, h and w of the window.
"""

import torch
from torch import Tensor

COLLECT, DISTRIBUTE = 0, 1


def psa_mask(window: Tensor, kind: int, size: tuple[int, int]) -> Tensor:
    """Write the windows of attention into maps.

    Args:
        window: (B, h * w, H, W).
        kind: COLLECT or DISTRIBUTE.
        size: h and w. The pixel is at row `(h - 1) // 2` and column
            `(w - 1) // 2` of its window.

    Returns:
        (B, H * W, H, W), differentiable in `window`. The attention of pixel q
        to pixel p is in channel p at pixel q for COLLECT, and in channel q at
        pixel p for DISTRIBUTE. It is zero where p is outside the window of q.
    """
    height, width = window.shape[2:]
    taps, insides = [], []
    for pixels, reach in ((height, size[0]), (width, size[1])):
        at = torch.arange(pixels, device=window.device)
        tap = at[:, None] - at + (reach - 1) // 2  # (p, q)
        insides.append((tap >= 0) & (tap < reach))
        taps.append(tap.clamp(0, reach - 1))
    # (H of p, W of p, H of q, W of q), then (H * W, H, W)
    index = taps[0][:, None, :, None] * size[1] + taps[1][None, :, None]
    inside = insides[0][:, None, :, None] & insides[1][None, :, None]
    index, inside = (value.flatten(0, 1) for value in (index, inside))
    spread = window.gather(1, index.expand(len(window), *index.shape))
    spread = spread * inside  # (B, H * W of p, H of q, W of q)
    if kind == COLLECT:
        return spread
    spread = spread.flatten(2).transpose(1, 2)  # (B, H * W of q, H * W of p)
    return spread.unflatten(2, (height, width))  # (B, H * W of q, H, W of p)
