"""Point-wise spatial attention (PSANet, ECCV 2018).

A pixel's attention is predicted over a window around it; this spreads it over
the map.

Dimension key: B images, H and W pixels, h and w of the window.
"""

import torch
from torch import Tensor

COLLECT, DISTRIBUTE = 0, 1


def psa_mask(window: Tensor, kind: int, size: tuple[int, int]) -> Tensor:
    """Spread windows of attention over the map; differentiable.

    Args:
        window: (B, h * w, H, W).
        kind: COLLECT or DISTRIBUTE.
        size: h and w. The pixel is at `(h - 1) // 2, (w - 1) // 2` of it.

    Returns:
        (B, H * W, H, W), zero where the window does not reach. Pixel q of
        the map has at p, in channel p for COLLECT and in channel q at p for
        DISTRIBUTE, what its window says of p.
    """
    height, width = window.shape[2:]
    taps, insides = [], []
    for pixels, reach in ((height, size[0]), (width, size[1])):
        at = torch.arange(pixels, device=window.device)
        tap = at[:, None] - at + (reach - 1) // 2  # (seen, seeing)
        insides.append((tap >= 0) & (tap < reach))
        taps.append(tap.clamp(0, reach - 1))
    index = taps[0][:, None, :, None] * size[1] + taps[1][None, :, None]
    inside = insides[0][:, None, :, None] & insides[1][None, :, None]
    index, inside = (value.flatten(0, 1) for value in (index, inside))
    spread = window.gather(1, index.expand(len(window), *index.shape))
    spread = spread * inside  # (B, H * W seen, H, W seeing)
    if kind == COLLECT:
        return spread
    return spread.flatten(2).transpose(1, 2).unflatten(2, (height, width))
