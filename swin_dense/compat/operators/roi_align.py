"""RoIAlign (Mask R-CNN, https://arxiv.org/abs/1703.06870, section 3).

A bin is the mean, or the maximum, of a grid of bilinear samples. The grid is
a product of two axes, so pixels and weights are computed per axis, then
combined.

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

# Maximum of a bin without samples, as in the compiled CPU operator.
EMPTY_MAXIMUM = -10000.0
# Position of the maximum of a bin without samples.
NO_POSITION = -1.0


class RoIGeometry(NamedTuple):
    """Arguments that turn boxes into bins and samples."""

    output_size: tuple[int, int]  # bins along y and along x
    spatial_scale: float  # pixels of the map per unit of the boxes
    sampling_ratio: int  # samples per bin and axis; 0: one per pixel
    aligned: bool  # True: the centre of the first pixel is at 0.5


class Group(NamedTuple):
    """RoIs that share a sampling grid."""

    members: Tensor  # (r,) indices among all RoIs
    image: Tensor  # (r,) index of the image of each RoI
    start: Tensor  # (r, 2) first corner in pixels, y then x
    bin_size: Tensor  # (r, 2) in pixels, y then x
    grid: tuple[int, int]  # samples per bin along y and along x


def mean_forward(
    features: Tensor, rois: Tensor, geometry: RoIGeometry
) -> Tensor:
    """Return the mean of the samples of every bin.

    Args:
        features: (B, C, H, W).
        rois: Image index and x1, y1, x2, y2, (R, 5). A box that ends before
            it starts gives zeros.
        geometry: Bins and samples of the boxes.

    Returns:
        (R, C, P, P) of the type of `features`.
    """
    channels = features.size(1)
    table = to_rows(features)
    output = features.new_zeros(len(rois), channels, *geometry.output_size)
    size = (features.shape[2], features.shape[3])
    for group in groups(rois, geometry, channels):
        index, weight = _mean_taps(group, geometry, size)
        rows = sum_rows(table, index, weight.to(table))
        output[group.members] = from_rows(
            rows, len(group.members), geometry.output_size
        ).to(output)
    return output


def mean_backward(
    grad_output: Tensor, rois: Tensor, shape: torch.Size, geometry: RoIGeometry
) -> Tensor:
    """Return the gradient of `mean_forward` in `features`.

    Args:
        grad_output: (R, C, P, P).
        rois: (R, 5).
        shape: (B, C, H, W), the shape of the features and of the result.
        geometry: Bins and samples of the boxes.
    """
    batch, channels, height, width = shape
    size = (height, width)
    table = grad_output.new_zeros(
        batch * height * width,
        channels,
        dtype=compute_dtype(grad_output),
    )
    for group in groups(rois, geometry, channels):
        index, weight = _mean_taps(group, geometry, size)
        rows = to_rows(grad_output[group.members])  # (r * P * P, C)
        add_rows(table, index, weight.to(table), rows)
    return from_rows(table, batch, size).to(grad_output)


def max_forward(
    features: Tensor, rois: Tensor, geometry: RoIGeometry
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the largest sample of every bin, and its position.

    Args:
        features: (B, C, H, W).
        rois: (R, 5), as in `mean_forward`.

    Returns:
        The maxima, and their y and x in pixels, each (R, C, P, P).
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
        # (r, P, G, P, G, C), then (r, C, P, P, G * G)
        values = values.view(-1, bins_y, grid_y, bins_x, grid_x, channels)
        values = values.permute(0, 5, 1, 3, 2, 4).flatten(4)
        values, at = values.max(-1)  # (r, C, P, P) each
        maxima[group.members] = values.to(maxima)
        y = y[:, None, :, None].expand(*at.shape, grid_y)  # (r, C, P, P, G)
        x = x[:, None, None].expand(*at.shape, grid_x)  # (r, C, P, P, G)
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
    """Return the gradient of `max_forward` in `features`.

    Args:
        grad_output: (R, C, P, P).
        rois: (R, 5); only the image index is read.
        at_y, at_x: Positions of the maxima, (R, C, P, P).
        shape: (B, C, H, W), the shape of the features and of the result.
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
        has_maximum = y != NO_POSITION
        y, y_weight = axis_taps(y.to(grad), height)  # (r, C, P, P, 2)
        x, x_weight = axis_taps(x.to(grad), width)
        plane = boxes[:, :1].long() * channels + channel  # (r, C)
        y = y + (plane * height)[:, :, None, None, None]
        # (r, C, P, P, 2, 2) each
        index = y[..., :, None] * width + x[..., None, :]
        weight = y_weight[..., :, None] * x_weight[..., None, :]
        weight = weight * (grad_bins * has_maximum).to(grad)[..., None, None]
        grad.scatter_add_(0, index.flatten(), weight.flatten())
    return grad.view(shape).to(grad_output)  # (B, C, H, W)


def to_rows(maps: Tensor) -> Tensor:
    """Return (n, C, h, w) as (n * h * w, C) in the type to compute in."""
    rows = maps.permute(0, 2, 3, 1)  # (n, h, w, C)
    rows = rows.reshape(-1, maps.size(1))  # (n * h * w, C)
    return rows.to(compute_dtype(maps))


def from_rows(rows: Tensor, count: int, size: tuple[int, int]) -> Tensor:
    """Return (count * h * w, C) as (count, C, h, w), a view."""
    maps = rows.view(count, *size, rows.size(1))  # (count, h, w, C)
    return maps.permute(0, 3, 1, 2)  # (count, C, h, w)


def groups(
    rois: Tensor,
    geometry: RoIGeometry,
    channels: int,
    keep_samples: bool = False,
) -> Iterator[Group]:
    """Yield groups of RoIs with one sampling grid, which bound the memory.

    RoIs without samples are in no group.

    Args:
        rois: (R, 5).
        geometry: Bins and samples of the boxes.
        channels: Number of channels C of the features.
        keep_samples: True if the caller holds all samples at once.
    """
    corners = rois[:, 1:].to(compute_dtype(rois)) * geometry.spatial_scale
    if geometry.aligned:
        corners = corners - 0.5
    start = corners[:, [1, 0]]
    extent = corners[:, [3, 2]] - start
    if not geometry.aligned:  # the legacy rule
        extent = extent.clamp(min=1)
    bin_size = extent / extent.new_tensor(geometry.output_size)
    bins = geometry.output_size[0] * geometry.output_size[1]
    for grid, members in _grids(bin_size, geometry.sampling_ratio):
        grid_y, grid_x = grid
        samples = grid_y * grid_x
        rows = samples if keep_samples else 1
        elements = bins * (4 * samples + rows * channels)
        for part in members.split(max(1, MAX_ELEMENTS // elements)):
            yield Group(
                part,
                rois[part, 0].long(),
                start[part],
                bin_size[part],
                grid,
            )


def _grids(
    bin_size: Tensor, sampling_ratio: int
) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """Yield samples per bin along y and x, and the RoIs that have as many.

    Args:
        bin_size: (R, 2) in pixels, y then x.
        sampling_ratio: Samples per bin and axis; 0: one per pixel.
    """
    if sampling_ratio > 0:
        if len(bin_size):
            members = torch.arange(len(bin_size), device=bin_size.device)
            yield (sampling_ratio, sampling_ratio), members
        return
    grids = bin_size.float().ceil()
    for grid in grids[(grids > 0).all(1)].unique(dim=0).tolist():
        same = (grids == grids.new_tensor(grid)).all(1)
        yield (int(grid[0]), int(grid[1])), same.nonzero()[:, 0]


def sample_positions(group: Group, axis: int, geometry: RoIGeometry) -> Tensor:
    """Return the coordinates of the samples along an axis, (r, P, G)."""
    grid = group.grid[axis]
    start = group.start[:, axis, None, None]
    bin_size = group.bin_size[:, axis, None, None]
    cell = torch.arange(geometry.output_size[axis]).to(start)[:, None]
    point = torch.arange(grid).to(start)
    # The order of these operations is the compiled operator's. After rounding
    # it decides on which side of a pixel centre a sample falls.
    return start + cell * bin_size + (point + 0.5) * bin_size / grid


def axis_taps(position: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the two pixels next to every sample and their weights.

    A sample up to one pixel outside the map is moved onto the border. A sample
    further away has weight 0.

    Args:
        position: Coordinates in pixels, of any shape.
        size: Pixels along the axis.

    Returns:
        Index and weight, (*, 2) where `position` is (*).
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
    taps: list[Tensor] = []
    for axis in (0, 1):
        position = sample_positions(group, axis, geometry)
        index, weight = axis_taps(position, size[axis])
        weight = weight / group.grid[axis]
        # (r, P, 2 * G) each
        taps += _merge(index.flatten(2), weight.flatten(2), size[axis])
    return _cross(group, *size, *taps)


def _merge(index: Tensor, weight: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Merge the taps of a bin that fall on one pixel, if that saves taps.

    Args:
        index, weight: (r, P, 2 * G).
        size: Pixels along the axis.

    Returns:
        Index and weight, (r, P, T), with T at most 2 * G.
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
    """Combine the taps of both axes into taps of the map.

    Args:
        group: The r RoIs.
        height, width: Pixels of the map along y and along x.
        y, y_weight, x, x_weight: Index and weight per axis, (r, n, T).

    Returns:
        Row index and weight, (r * n * n, T * T).
    """
    y = y + (group.image * height)[:, None, None]
    # (r, n, n, T, T) each
    index = y[:, :, None, :, None] * width + x[:, None, :, None, :]
    weight = y_weight[:, :, None, :, None] * x_weight[:, None, :, None, :]
    return index.flatten(3).flatten(0, 2), weight.flatten(3).flatten(0, 2)
