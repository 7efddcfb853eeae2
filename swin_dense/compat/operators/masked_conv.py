"""Convolution at chosen pixels (Guided Anchoring, arXiv 1901.03278).

Dimension key: C channels, H and W pixels, K taps of the kernel, M chosen
pixels.
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
    """Return the kernel's input at each chosen pixel, one column per pixel.

    Args:
        image: (1, C, H, W).
        y, x: Pixels of the output, (M,), int64.
        kernel, padding: Taps and padding along y and along x.

    Returns:
        (C * K, M).

    Raises:
        ValueError: If a pixel is outside the output.
    """
    pad_y, pad_x = padding
    # (C, H + 2 * pad_y, W + 2 * pad_x)
    padded = F.pad(image[0], (pad_x, pad_x, pad_y, pad_y))
    _check_inside(y, x, padded.size(1) - kernel[0], padded.size(2) - kernel[1])
    row, column = (torch.arange(taps, device=y.device) for taps in kernel)
    # (C, kernel height, kernel width, M)
    columns = padded[:, row[:, None, None] + y, column[:, None] + x]
    return columns.flatten(0, 2)  # (C * K, M)


def col2im(columns: Tensor, y: Tensor, x: Tensor, image: Tensor) -> None:
    """Write one column per chosen pixel into an image.

    Args:
        columns: (C, M).
        y, x: Chosen pixels, (M,), int64.
        image: (1, C, H, W), changed in place.

    Raises:
        ValueError: If a pixel is outside the image.
    """
    _check_inside(y, x, image.size(2) - 1, image.size(3) - 1)
    image[0, :, y, x] = columns


def _check_inside(y: Tensor, x: Tensor, last_y: int, last_x: int) -> None:
    """Check that no pixel is beyond the last row or column.

    Raises:
        ValueError: If a pixel is.
    """
    if len(y) and (int(y.max()) > last_y or int(x.max()) > last_x):
        raise ValueError(
            'a masked convolution got pixels outside its output of '
            f'{last_y + 1} x {last_x + 1} pixels: pad by half the kernel, so '
            'that mask, input and output are of one size'
        )
