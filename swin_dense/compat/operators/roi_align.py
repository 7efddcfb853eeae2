"""RoIAlign (Mask R-CNN, https://arxiv.org/abs/1703.06870, section 3).

A bin is the mean, or the maximum, of a grid of bilinear samples. The grid is
a product of two axes, so pixels and weights are found per axis and multiplied.

Dimension key: B images, C channels, H and W pixels, R RoIs (r in a group),
P bins along an axis, G samples per bin along an axis, T taps (pixels with a
weight) per bin along an axis.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from swin_dense.compat.operators.sampling import (
    MAX_ELEMENTS,
    add_rows,
    compute_dtype,
    sum_rows,
)

# The maximum of a bin without samples, as the compiled CPU operator has it.
EMPTY_MAXIMUM = -10000.0
# Marks a bin without samples where the position of a maximum is kept.
NO_POSITION = -1.0


class RoIGeometry(NamedTuple):
    """How boxes become bins and samples."""

    output_size: tuple[int, int]  # bins along y and along x
    spatial_scale: float  # pixels of the map per unit of the boxes
    sampling_ratio: int  # samples per bin and axis; 0: one per pixel
    aligned: bool  # whether the centre of the first pixel is at 0.5


class Group(NamedTuple):
    """RoIs that share a sampling grid."""

    members: Tensor  # (r,) positions among all RoIs
    image: Tensor  # (r,) image of each
    start: Tensor  # (r, 2) first corner in pixels, y then x
    bin_size: Tensor  # (r, 2) in pixels, y then x
    grid: tuple[int, int]  # samples per bin along y and along x


def mean_forward(
    features: Tensor, rois: Tensor, geometry: RoIGeometry
) -> Tensor:
    """Average the samples of every bin.

    Args:
        features: (B, C, H, W).
        rois: Image index and x1, y1, x2, y2, (R, 5). A box that ends before
            it starts gives zeros.

    Returns:
        (R, C, P, P) of the type of `features`.
    """
    channels = features.size(1)
    table = to_rows(features)
    output = features.new_zeros(len(rois), channels, *geometry.output_size)
    for group in groups(rois, geometry, channels):
        index, weight = _mean_taps(group, geometry, features.shape[-2:])
        rows = sum_rows(table, index, weight.to(table))
        output[group.members] = from_rows(
            rows, len(group.members), geometry.output_size
        ).to(output)
    return output


def mean_backward(
    grad_output: Tensor, rois: Tensor, shape: torch.Size, geometry: RoIGeometry
) -> Tensor:
    """Return the gradient of `mean_forward` in `features`, of `shape`."""
    channels = shape[1]
    table = grad_output.new_zeros(
        shape[0] * shape[2] * shape[3],
        channels,
        dtype=compute_dtype(grad_output),
    )
    for group in groups(rois, geometry, channels):
        index, weight = _mean_taps(group, geometry, shape[-2:])
        rows = to_rows(grad_output[group.members])
        add_rows(table, index, weight.to(table), rows)
    return from_rows(table, shape[0], shape[-2:]).to(grad_output)


def max_forward(
    features: Tensor, rois: Tensor, geometry: RoIGeometry
) -> tuple[Tensor, Tensor, Tensor]:
    """Take the largest sample of every bin.

    Args:
        features: (B, C, H, W).
        rois: (R, 5), as in `mean_forward`.

    Returns:
        The maxima, their y and their x in pixels, each (R, C, P, P).
    """
    channels = features.size(1)
    height, width = features.shape[-2:]
    table = to_rows(features)
    shape = (len(rois), channels, *geometry.output_size)
    maxima = features.new_full(shape, EMPTY_MAXIMUM)
    at_y = features.new_full(shape, NO_POSITION)
    at_x = features.new_full(shape, NO_POSITION)
    for group in groups(rois, geometry, channels, keep_samples=True):
        y, x = (sample_positions(group, axis, geometry) for axis in (0, 1))
        index, weight = _cross(
            group,
            height,
            width,
            *axis_taps(y.flatten(1), height),
            *axis_taps(x.flatten(1), width),
        )
        values = sum_rows(table, index, weight.to(table))
        bins_y, bins_x = geometry.output_size
        grid_y, grid_x = group.grid
        values = values.view(-1, bins_y, grid_y, bins_x, grid_x, channels)
        values, at = values.permute(0, 5, 1, 3, 2, 4).flatten(4).max(-1)
        # (r, C, P, P) each
        maxima[group.members] = values.to(maxima)
        y = y[:, None, :, None].expand(*at.shape, grid_y)
        x = x[:, None, None].expand(*at.shape, grid_x)
        at = at[..., None]
        at_y[group.members] = y.gather(-1, at // grid_x)[..., 0].to(at_y)
        at_x[group.members] = x.gather(-1, at % grid_x)[..., 0].to(at_x)
    return maxima, at_y, at_x


def max_backward(
    grad_output: Tensor,
    rois: Tensor,
    at_y: Tensor,
    at_x: Tensor,
    shape: torch.Size,
) -> Tensor:
    """Return the gradient of `max_forward` in `features`, of `shape`.

    Args:
        grad_output: (R, C, P, P).
        rois: (R, 5); only the image index is read.
        at_y, at_x: Positions of the maxima, (R, C, P, P).
        shape: (B, C, H, W).
    """
    _, channels, height, width = shape
    grad = grad_output.new_zeros(
        shape.numel(), dtype=compute_dtype(grad_output)
    )
    channel = torch.arange(channels, device=rois.device)
    elements = 4 * channels * grad_output.shape[2:].numel()
    step = max(1, MAX_ELEMENTS // elements)
    for grad_bins, boxes, y, x in zip(
        *(tensor.split(step) for tensor in (grad_output, rois, at_y, at_x))
    ):
        found = y != NO_POSITION
        y, y_weight = axis_taps(y.to(grad), height)  # (r, C, P, P, 2)
        x, x_weight = axis_taps(x.to(grad), width)
        plane = boxes[:, :1].long() * channels + channel  # (r, C)
        y = y + (plane * height)[:, :, None, None, None]
        index = y[..., :, None] * width + x[..., None, :]
        weight = y_weight[..., :, None] * x_weight[..., None, :]
        weight = weight * (grad_bins * found).to(grad)[..., None, None]
        grad.scatter_add_(0, index.flatten(), weight.flatten())
    return grad.view(shape).to(grad_output)


def to_rows(maps: Tensor) -> Tensor:
    """Lay (n, C, h, w) out as (n * h * w, C) in the type to compute in."""
    rows = maps.permute(0, 2, 3, 1).reshape(-1, maps.size(1))
    return rows.to(compute_dtype(maps))


def from_rows(rows: Tensor, count: int, size: tuple[int, int]) -> Tensor:
    """Undo `to_rows`, as a view: (count * h * w, C) to (count, C, h, w)."""
    return rows.view(count, *size, rows.size(1)).permute(0, 3, 1, 2)


def groups(
    rois: Tensor,
    geometry: RoIGeometry,
    channels: int,
    keep_samples: bool = False,
) -> Iterator[Group]:
    """Split RoIs by sampling grid, and into pieces that bound the memory.

    RoIs without samples are in no group.
    """
    corners = rois[:, 1:].to(compute_dtype(rois)) * geometry.spatial_scale
    if geometry.aligned:
        corners = corners - 0.5
    start = corners[:, [1, 0]]
    extent = corners[:, [3, 2]] - start
    if not geometry.aligned:  # the legacy rule
        extent = extent.clamp(min=1)
    bin_size = extent / extent.new_tensor(geometry.output_size)
    if geometry.sampling_ratio > 0:
        grids = torch.full_like(bin_size, geometry.sampling_ratio)
    else:
        grids = bin_size.float().ceil()
    bins = geometry.output_size[0] * geometry.output_size[1]
    for grid in grids[(grids > 0).all(1)].unique(dim=0).tolist():
        members = (grids == grids.new_tensor(grid)).all(1).nonzero()[:, 0]
        grid_y, grid_x = int(grid[0]), int(grid[1])
        samples = grid_y * grid_x
        rows = samples if keep_samples else 1
        elements = bins * (4 * samples + rows * channels)
        for part in members.split(max(1, MAX_ELEMENTS // elements)):
            yield Group(
                part,
                rois[part, 0].long(),
                start[part],
                bin_size[part],
                (grid_y, grid_x),
            )


def sample_positions(group: Group, axis: int, geometry: RoIGeometry) -> Tensor:
    """Return the coordinates of the samples along an axis, (r, P, G)."""
    grid = group.grid[axis]
    start = group.start[:, axis, None, None]
    bin_size = group.bin_size[:, axis, None, None]
    cell = torch.arange(geometry.output_size[axis]).to(start)[:, None]
    point = torch.arange(grid).to(start)
    # The order of these operations decides on which side of a pixel centre a
    # sample falls after rounding; it is the compiled operator's.
    return start + cell * bin_size + (point + 0.5) * bin_size / grid


def axis_taps(position: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the two pixels next to every sample and their weights.

    Samples up to one pixel outside the map are moved onto its border, those
    further away weigh nothing.

    Args:
        position: Coordinates in pixels, (..., 1) or any other shape.
        size: Pixels along the axis.

    Returns:
        Index and weight, each with an axis of 2 behind those of `position`.
    """
    inside = (position >= -1) & (position <= size)
    position = position.clamp(0, size - 1)
    low = position.floor()
    fraction = position - low
    index = torch.stack([low, (low + 1).clamp(max=size - 1)], -1).long()
    weight = torch.stack([1 - fraction, fraction], -1)
    return index, weight * inside[..., None]


def _mean_taps(
    group: Group, geometry: RoIGeometry, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return row index and weight of every tap, (r * P * P, T * T)."""
    taps = []
    for axis in (0, 1):
        position = sample_positions(group, axis, geometry)
        index, weight = axis_taps(position, size[axis])
        weight = weight / group.grid[axis]
        taps += _merge(index.flatten(2), weight.flatten(2), size[axis])
    return _cross(group, *size, *taps)


def _merge(index: Tensor, weight: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Merge the taps of a bin that fall on one pixel, where that saves taps.

    Args:
        index, weight: (r, P, T).
        size: Pixels along the axis.
    """
    first = index.amin(-1, keepdim=True)
    span = int((index - first).max()) + 1
    if span >= index.size(-1):
        return index, weight
    merged = weight.new_zeros(*weight.shape[:-1], span)
    merged.scatter_add_(-1, index - first, weight)
    index = first + torch.arange(span, device=index.device)
    return index.clamp(max=size - 1), merged


def _cross(
    group: Group,
    height: int,
    width: int,
    y: Tensor,
    y_weight: Tensor,
    x: Tensor,
    x_weight: Tensor,
) -> tuple[Tensor, Tensor]:
    """Combine the taps of both axes.

    Args:
        y, y_weight, x, x_weight: (r, n, T) per axis.

    Returns:
        Row index and weight, (r * n * n, T * T).
    """
    y = y + (group.image * height)[:, None, None]
    index = y[:, :, None, :, None] * width + x[:, None, :, None, :]
    weight = y_weight[:, :, None, :, None] * x_weight[:, None, :, None, :]
    return index.flatten(3).flatten(0, 2), weight.flatten(3).flatten(0, 2)
