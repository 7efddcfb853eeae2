"""Deformable RoI pooling (https://arxiv.org/abs/1703.06211, section 2.2).

RoIAlign whose bins are moved, each by a learned share of the box.

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

# Places of the axes y and x among the channels of the offsets.
OFFSET_CHANNELS = (1, 0)


def forward(
    features: Tensor,
    rois: Tensor,
    offset: Tensor,
    geometry: RoIGeometry,
    gamma: float,
) -> Tensor:
    """Average the samples of every moved bin.

    Args:
        features: (B, C, H, W).
        rois: Image index and x1, y1, x2, y2, (R, 5).
        offset: Shift of every bin along x and y, (R, 2, P, P), in units of
            `gamma` times the size of its box; empty for none.
        geometry: That of the boxes, with `aligned`.
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

    Within a pixel of the border, where samples are moved onto the map, that
    in the offsets is the compiled operator's, which goes on with the slope
    of the pixels next to it.

    Args:
        grad_output: (R, C, P, P); the others as in `forward`.
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
            index, weight = _taps(
                group, offset, geometry, gamma, features.shape, axis
            )
            slope = (sum_rows(table, index, weight.to(table)) * rows).sum(1)
            slope = slope.view(-1, *geometry.output_size)
            unit = gamma * _extent(group, geometry, axis)
            grad_offset[group.members, channel] = slope * unit
    grad = from_rows(grad_table, features.size(0), features.shape[2:])
    return grad.to(features), grad_offset.to(offset)


def _extent(group: Group, geometry: RoIGeometry, axis: int) -> Tensor:
    """Return the sizes of the boxes along an axis in pixels, (r, 1, 1)."""
    return (group.bin_size[:, axis] * geometry.output_size[axis])[
        :, None, None
    ]


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
        slope_axis: 0 or 1 for the weights' derivatives along y or x.
    """
    indices, weights = [], []
    for axis in (0, 1):
        at = sample_positions(group, axis, geometry)  # (r, P, G)
        at = (
            at[:, :, None] if axis == 0 else at[:, None]
        )  # (r, P or 1, ..., G)
        if offset.numel():
            shift = offset[group.members, OFFSET_CHANNELS[axis]].to(at)
            shift = shift * gamma * _extent(group, geometry, axis)
            at = at + shift[..., None]
        index, weight = axis_taps(at, shape[2 + axis])
        if slope_axis >= 0:
            inside = weight.sum(-1, keepdim=True)
            low, high = index.unbind(-1)
            weight = torch.stack([high - at, at - low], -1) * inside
            if axis == slope_axis:
                weight = torch.tensor([-1.0, 1.0]).to(at) * inside
        bins = (len(group.members), *geometry.output_size, -1)
        indices.append(index.flatten(3).expand(bins))
        weights.append(weight.flatten(3).expand(bins) / group.grid[axis])
    y, x = indices
    y = y + (group.image * shape[2])[:, None, None, None]
    index = y[..., :, None] * shape[3] + x[..., None, :]
    weight = weights[0][..., :, None] * weights[1][..., None, :]
    return index.flatten(3).flatten(0, 2), weight.flatten(3).flatten(0, 2)
