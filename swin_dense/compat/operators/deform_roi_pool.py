"""Deformable RoI pooling (https://arxiv.org/abs/1703.06211, section 2.2).

This is RoIAlign with moved bins: each moves by a learned fraction of its box.

Dimension key: B images, C channels, H and W pixels, R RoIs (r in a group),
P bins along an axis, G samples per bin along an axis.
"""

import torch
from torch import Tensor

from swin_dense.compat.operators.roi_align import (
    Group,
    RoIGeometry,
    axis_taps,
    from_rows,
    groups,
    sample_positions,
    to_rows,
)
from swin_dense.compat.operators.sampling import (
    add_rows,
    compute_dtype,
    sum_rows,
)

# Channels of the offsets that hold y and x.
OFFSET_CHANNELS = (1, 0)


def forward(
    features: Tensor,
    rois: Tensor,
    offset: Tensor,
    geometry: RoIGeometry,
    gamma: float,
) -> Tensor:
    """Return the mean of the samples of every moved bin.

    Args:
        features: (B, C, H, W).
        rois: Image index and x1, y1, x2, y2, (R, 5).
        offset: Shift of every bin along x and y, (R, 2, P, P), in units of
            `gamma` times the size of its box; empty for none.
        geometry: Bins and samples of the boxes, with `aligned` true.
        gamma: See `offset`.

    Returns:
        (R, C, P, P) of the type of `features`.
    """
    table = to_rows(features)
    output = features.new_zeros(
        len(rois), features.size(1), *geometry.output_size
    )
    for group in groups(rois, geometry, features.size(1)):
        index, weight = _taps(group, offset, geometry, gamma, features.shape)
        rows = sum_rows(table, index, weight.to(table))
        output[group.members] = from_rows(
            rows, len(group.members), geometry.output_size
        ).to(output)
    return output


def backward(
    grad_output: Tensor,
    features: Tensor,
    rois: Tensor,
    offset: Tensor,
    geometry: RoIGeometry,
    gamma: float,
) -> tuple[Tensor, Tensor]:
    """Return the gradients of `forward` in `features` and `offset`.

    Samples within one pixel outside the map are moved onto the border. There
    the gradient in the offsets is the compiled operator's: the slope of the
    two pixels next to the border.

    Args:
        grad_output: (R, C, P, P). Other arguments are those of `forward`.
    """
    table = to_rows(features)
    grad_table = torch.zeros_like(table)
    grad_offset = torch.zeros_like(offset, dtype=compute_dtype(offset))
    for group in groups(rois, geometry, features.size(1)):
        rows = to_rows(grad_output[group.members])  # (r * P * P, C)
        index, weight = _taps(group, offset, geometry, gamma, features.shape)
        add_rows(grad_table, index, weight.to(table), rows)
        if not offset.numel():
            continue
        for axis, channel in enumerate(OFFSET_CHANNELS):
            # (r * P * P, 4 * G * G) each
            index, weight = _taps(
                group, offset, geometry, gamma, features.shape, axis
            )
            slope = (sum_rows(table, index, weight.to(table)) * rows).sum(1)
            slope = slope.view(-1, *geometry.output_size)  # (r, P, P)
            unit = gamma * _extent(group, geometry, axis)
            grad_offset[group.members, channel] = slope * unit
    size = (features.shape[2], features.shape[3])
    grad = from_rows(grad_table, features.size(0), size)
    return grad.to(features), grad_offset.to(offset)


def _extent(group: Group, geometry: RoIGeometry, axis: int) -> Tensor:
    """Return the sizes of the boxes along an axis in pixels, (r, 1, 1)."""
    extent = group.bin_size[:, axis] * geometry.output_size[axis]
    return extent[:, None, None]


def _taps(
    group: Group,
    offset: Tensor,
    geometry: RoIGeometry,
    gamma: float,
    shape: torch.Size,
    slope_axis: int = -1,
) -> tuple[Tensor, Tensor]:
    """Return row index and weight of every tap, (r * P * P, 4 * G * G).

    Args:
        slope_axis: 0 or 1 for the derivatives of the weights along y or x; -1
            for the weights.
    """
    indices, weights = [], []
    for axis in (0, 1):
        at = sample_positions(group, axis, geometry)  # (r, P, G)
        # (r, P, 1, G) for y, (r, 1, P, G) for x
        at = at[:, :, None] if axis == 0 else at[:, None]
        if offset.numel():
            shift = offset[group.members, OFFSET_CHANNELS[axis]].to(at)
            shift = shift * gamma * _extent(group, geometry, axis)
            at = at + shift[..., None]
        index, weight = axis_taps(at, shape[2 + axis])  # (..., G, 2) each
        if slope_axis >= 0:
            inside = weight.sum(-1, keepdim=True)
            low, high = index.unbind(-1)
            weight = torch.stack([high - at, at - low], -1) * inside
            if axis == slope_axis:
                weight = torch.tensor([-1.0, 1.0]).to(at) * inside
        bins = (len(group.members), *geometry.output_size, -1)
        # (r, P, P, 2 * G) each
        indices.append(index.flatten(3).expand(bins))
        weights.append(weight.flatten(3).expand(bins) / group.grid[axis])
    y, x = indices
    y = y + (group.image * shape[2])[:, None, None, None]
    # (r, P, P, 2 * G, 2 * G) each
    index = y[..., :, None] * shape[3] + x[..., None, :]
    weight = weights[0][..., :, None] * weights[1][..., None, :]
    return index.flatten(3).flatten(0, 2), weight.flatten(3).flatten(0, 2)
