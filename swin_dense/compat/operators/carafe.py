"""CARAFE (https://arxiv.org/abs/1905.02188): upsampling by predicted kernels.

Dimension key: B images, C channels, h and w pixels of the input, G groups of
channels (c in a group), K taps of a kernel, s scale along each axis.
"""

import torch.nn.functional as F
from torch import Tensor

from swin_dense.compat.operators.sampling import compute_dtype


def carafe(
    features: Tensor, masks: Tensor, kernel_size: int, groups: int, scale: int
) -> Tensor:
    """Sum the weighted pixels around the source pixel of each output pixel.

    Args:
        features: (B, C, h, w). Pixels outside count as zero.
        masks: Kernel of every output pixel, (B, G * K, s * h, s * w).
        kernel_size: Taps along an axis, odd.
        groups: Number G of groups of channels; each group has its own
            kernels.
        scale: Pixels of the output per pixel of the input, s, along an axis.

    Returns:
        (B, C, s * h, s * w) of the type of `features`, differentiable in
        `features` and `masks`.
    """
    batch, channels, height, width = features.shape
    dtype = compute_dtype(features)
    reach = kernel_size // 2
    padded = F.pad(features.to(dtype), [reach] * 4)
    padded = padded.unflatten(1, (groups, -1))  # (B, G, c, padded h, w)
    kernels = masks.to(dtype).view(
        batch, groups, -1, 1, height, scale, width, scale
    )  # (B, G, K, 1, h, s, w, s)
    output: Tensor = features.new_zeros((), dtype=dtype)
    for tap in range(kernel_size**2):  # tap by tap needs 1 / K of the memory
        row, column = divmod(tap, kernel_size)
        pixels = padded[..., row : row + height, column : column + width]
        output = output + pixels[..., None, :, None] * kernels[:, :, tap]
    output = output.reshape(
        batch, channels, scale * height, scale * width
    )  # (B, C, s * h, s * w)
    return output.to(features.dtype)
