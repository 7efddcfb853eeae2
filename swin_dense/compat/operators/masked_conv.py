"""Convolution at chosen pixels (Guided Anchoring, arXiv 1901.03278).

Dimension key: C channels, H and W pixels, K taps of the kernel, M pixels
that are computed.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def im2col(
    image: Tensor,
    y: Tensor,
    x: Tensor,
    kernel: tuple[int, int],
    padding: tuple[int, int],
) -> Tensor:
    """Lay out what the kernel sees at each chosen pixel.

    Args:
        image: (1, C, H, W).
        y, x: Pixels of the output, (M,), int64.
        kernel, padding: Along y and along x.

    Returns:
        (C * K, M).
    """
    pad_y, pad_x = padding
    padded = F.pad(image[0], (pad_x, pad_x, pad_y, pad_y))
    _check_inside(y, x, padded.size(1) - kernel[0], padded.size(2) - kernel[1])
    row, column = (torch.arange(taps, device=y.device) for taps in kernel)
    seen = padded[:, row[:, None, None] + y, column[:, None] + x]
    return seen.flatten(0, 2)


def col2im(columns: Tensor, y: Tensor, x: Tensor, image: Tensor) -> None:
    """Put the numbers of the chosen pixels in their places.

    Args:
        columns: (C, M).
        y, x: (M,), int64.
        image: (1, C, H, W), changed in place.
    """
    _check_inside(y, x, image.size(2) - 1, image.size(3) - 1)
    image[0, :, y, x] = columns


def _check_inside(y: Tensor, x: Tensor, last_y: int, last_x: int) -> None:
    if len(y) and (int(y.max()) > last_y or int(x.max()) > last_x):
        raise ValueError(
            'a masked convolution is asked for pixels outside its output of '
            f'{last_y + 1} x {last_x + 1} pixels: pad by half the kernel, so '
            'that mask, input and output are of one size'
        )
