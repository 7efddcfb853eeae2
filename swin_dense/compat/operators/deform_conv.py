"""Deformable convolution, v1 and v2.

https://arxiv.org/abs/1703.06211 and https://arxiv.org/abs/1811.11168: every
tap of the kernel is read at a learned displacement. In v2 the value is also
multiplied by a learned mask.

Dimension key: B images, C channels, H and W pixels of the input, h and w of
the output, D deformable groups, K taps of the kernel.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from swin_dense.compat.operators.sampling import (
    MAX_ELEMENTS,
    bilinear_taps,
    compute_dtype,
    sum_rows,
    without_autocast,
)


class ConvGeometry(NamedTuple):
    """Arguments of the convolution; pairs are y, x."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    deform_groups: int


def deform_conv(
    inputs: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    weight: Tensor,
    geometry: ConvGeometry,
) -> Tensor:
    """Convolve with displaced taps.

    Args:
        inputs: (B, C, H, W).
        offset: Displacement in pixels, (B, D * K * 2, h, w), y before x.
        mask: Factor per tap, (B, D * K, h, w); None for v1.
        weight: (out channels, C / groups, kernel height, kernel width).
        geometry: Arguments of the convolution.

    Returns:
        (B, out channels, h, w), differentiable in every tensor.
    """
    columns = sample_columns(inputs, offset, mask, weight.shape[-2:], geometry)
    return multiply_columns(columns, weight, geometry, offset.shape).to(
        inputs.dtype
    )


def sample_columns(
    inputs: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    kernel: torch.Size,
    geometry: ConvGeometry,
) -> Tensor:
    """Return the taps of all positions, differentiable in every tensor.

    Args:
        inputs: (B, C, H, W).
        offset: Displacement in pixels, (B, D * K * 2, h, w), y before x.
        mask: Factor per tap, (B, D * K, h, w); None for v1.
        kernel: Height and width.

    Returns:
        (B * h * w, groups, C / groups * K), at least in float32.
    """
    batch, channels, height, width = inputs.shape
    deform_groups = geometry.deform_groups
    dtype = compute_dtype(inputs)
    out_size = offset.shape[-2:]
    taps = kernel.numel()

    # (B, D, K, 2, h, w)
    offset = offset.to(dtype).view(batch, deform_groups, taps, 2, *out_size)
    offset_y, offset_x = offset.permute(3, 0, 4, 5, 1, 2)  # (B, h, w, D, K)
    y, x = _undisplaced(geometry, kernel, out_size)
    index, factor = bilinear_taps(
        y.to(offset) + offset_y, x.to(offset) + offset_x, height, width
    )
    if mask is not None:
        mask = mask.to(dtype).view(batch, deform_groups, taps, *out_size)
        mask = mask.permute(0, 3, 4, 1, 2)  # (B, h, w, D, K)
        factor = factor * mask[..., None]

    # A row of the table holds the channels of a pixel that belong to one
    # deformable group: (B * H * W * D, C / D).
    pixels = torch.arange(batch, device=index.device) * (height * width)
    index = index + pixels.view(-1, 1, 1, 1, 1, 1)
    group = torch.arange(deform_groups, device=index.device)
    index = index * deform_groups + group[:, None, None]
    table = inputs.permute(0, 2, 3, 1).reshape(-1, channels // deform_groups)
    columns = sum_rows(
        table.to(dtype), index.view(-1, 4), factor.reshape(-1, 4)
    )

    columns = columns.view(-1, deform_groups, taps, channels // deform_groups)
    return columns.transpose(2, 3).reshape(
        len(columns), geometry.groups, -1
    )  # (B * h * w, groups, C / groups * K)


def multiply_columns(
    columns: Tensor, weight: Tensor, geometry: ConvGeometry, size: torch.Size
) -> Tensor:
    """Return the product of the result of `sample_columns` and the weight.

    Args:
        columns: (B * h * w, groups, C / groups * K).
        weight: (out channels, C / groups, kernel height, kernel width).
        size: A shape that begins with B and ends with h and w.

    Returns:
        (B, out channels, h, w), in the type of the columns.
    """
    weight = _weight_rows(weight, columns.dtype, geometry)
    with without_autocast(columns.device.type):
        output = torch.einsum('ngc,goc->ngo', columns, weight)
    # (B, h, w, out channels), then (B, out channels, h, w)
    output = output.reshape(size[0], *size[-2:], -1)
    return output.permute(0, 3, 1, 2)


def columns_gradient(
    grad_output: Tensor, weight: Tensor, geometry: ConvGeometry
) -> Tensor:
    """Return the gradient in the columns, (B * h * w, groups, C / groups * K).

    Args:
        grad_output: (B, out channels, h, w).
        weight: (out channels, C / groups, kernel height, kernel width).
    """
    rows = _output_rows(grad_output, geometry)
    weight = _weight_rows(weight, rows.dtype, geometry)
    with without_autocast(rows.device.type):
        return torch.einsum('ngo,goc->ngc', rows, weight)


def weight_gradient(
    grad_output: Tensor, columns: Tensor, geometry: ConvGeometry
) -> Tensor:
    """Return the gradient in the weights.

    Args:
        grad_output: (B, out channels, h, w).
        columns: (B * h * w, groups, C / groups * K).

    Returns:
        (groups, out channels / groups, C / groups * K).
    """
    rows = _output_rows(grad_output, geometry)
    with without_autocast(rows.device.type):
        return torch.einsum('ngo,ngc->goc', rows, columns)


def _output_rows(output: Tensor, geometry: ConvGeometry) -> Tensor:
    rows = output.to(compute_dtype(output)).permute(0, 2, 3, 1)
    return rows.reshape(
        -1, geometry.groups, output.size(1) // geometry.groups
    )  # (B * h * w, groups, out / groups)


def _weight_rows(
    weight: Tensor, dtype: torch.dtype, geometry: ConvGeometry
) -> Tensor:
    return weight.to(dtype).reshape(
        geometry.groups, weight.size(0) // geometry.groups, -1
    )  # (groups, out / groups, C / groups * K)


def hold_at_border(
    offset: Tensor, kernel: torch.Size, geometry: ConvGeometry
) -> Tensor:
    """Return the offsets, detached where a tap is at coordinate -1.

    Untrained offsets put the taps of a padded convolution exactly there, one
    pixel outside the map. mmcv and this module give no gradient at that
    coordinate; torchvision gives the slope towards the map.

    Args:
        offset: (B, D * K * 2, h, w), y before x.
        kernel: Height and width of the kernel.
        geometry: Arguments of the convolution.

    Returns:
        (B, D * K * 2, h, w).
    """
    size = offset.shape[-2:]
    pairs = offset.unflatten(1, (-1, kernel.numel(), 2))  # (B, D, K, 2, h, w)
    at_border = [
        undisplaced.to(offset).permute(2, 3, 0, 1) + moved == -1
        for undisplaced, moved in zip(
            _undisplaced(geometry, kernel, size), pairs.detach().unbind(3)
        )
    ]
    held = (at_border[0] | at_border[1]).unsqueeze(3)  # (B, D, K, 1, h, w)
    pairs = torch.where(held, pairs.detach(), pairs)
    return pairs.flatten(1, 3)  # (B, D * K * 2, h, w)


def chunks(inputs: Tensor, offset: Tensor, weight: Tensor) -> Iterator[slice]:
    """Yield ranges of images whose columns have `MAX_ELEMENTS` at most."""
    columns = inputs.size(1) * weight[0, 0].numel() * offset[0, 0].numel()
    step = max(1, MAX_ELEMENTS // columns)
    for start in range(0, len(inputs), step):
        yield slice(start, start + step)


def _undisplaced(
    geometry: ConvGeometry, kernel: torch.Size, out_size: torch.Size
) -> tuple[Tensor, Tensor]:
    """Return y, (h, 1, 1, K), and x, (1, w, 1, K), of taps without offset."""
    first, tap = (
        [torch.arange(count) * step for count, step in zip(counts, steps)]
        for counts, steps in (
            (out_size, geometry.stride),
            (kernel, geometry.dilation),
        )
    )
    y = (
        first[0][:, None]
        - geometry.padding[0]
        + tap[0].repeat_interleave(kernel[1])
    )
    x = first[1][:, None] - geometry.padding[1] + tap[1].repeat(kernel[0])
    return y[:, None, None], x[None, :, None]
