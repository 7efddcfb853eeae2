"""CARAFE (https://arxiv.org/abs/1905.02188): upsampling by predicted kernels.

Dimension key: B images, C channels, h and w pixels, G groups of channels,
K taps of a kernel, s times as many pixels along each axis.
"""

import torch.nn.functional as F
from torch import Tensor

from swin_dense.compat.operators.sampling import compute_dtype


def carafe(
    features: Tensor, masks: Tensor, kernel_size: int, groups: int, scale: int
) -> Tensor:
    """Sum the pixels around each source pixel; differentiable in both.

    Args:
        features: (B, C, h, w). Pixels outside count as zero.
        masks: Kernel of every output pixel, (B, G * K, s * h, s * w).
        kernel_size: Taps along an axis, odd.
        groups: Channels are split into so many groups with kernels of
            their own.
        scale: s.

    Returns:
        (B, C, s * h, s * w) of the type of `features`.
    """
    batch, channels, height, width = features.shape
    dtype = compute_dtype(features)
    reach = kernel_size // 2
    padded = F.pad(features.to(dtype), [reach] * 4).unflatten(1, (groups, -1))
    kernels = masks.to(dtype).view(
        batch, groups, -1, 1, height, scale, width, scale
    )
    output: Tensor = features.new_zeros((), dtype=dtype)
    for tap in range(kernel_size**2):  # one at a time: K fewer numbers held
        row, column = divmod(tap, kernel_size)
        pixels = padded[..., row : row + height, column : column + width]
        output = output + pixels[..., None, :, None] * kernels[:, :, tap]
    output = output.reshape(batch, channels, scale * height, scale * width)
    return output.to(features.dtype)
