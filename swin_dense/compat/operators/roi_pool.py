"""RoIPool (Fast R-CNN, https://arxiv.org/abs/1504.08083): maxima of pixels.

A bin covers whole pixels, from the pixel that holds its start to the pixel
that holds its end. Bins of one box may share pixels.

Dimension key: B images, C channels, H and W pixels, R RoIs (r in a chunk),
P bins along an axis, S pixels of the largest bin of a chunk.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from swin_dense.compat.operators.roi_align import to_rows
from swin_dense.compat.operators.sampling import MAX_ELEMENTS, compute_dtype

# Pixel of the maximum of a bin without pixels.
NO_PIXEL = -1


def forward(
    features: Tensor,
    rois: Tensor,
    output_size: tuple[int, int],
    spatial_scale: float,
) -> tuple[Tensor, Tensor]:
    """Return the largest pixel of every bin, and which pixel it is.

    Args:
        features: (B, C, H, W).
        rois: Image index and x1, y1, x2, y2, (R, 5). The pixel at x2, y2 is
            inside the box.
        output_size: Number of bins along y and along x.
        spatial_scale: Pixels of the map per unit of the boxes.

    Returns:
        The maxima, (R, C, P, P), and the pixel `y * W + x` of each, int64 of
        the same shape. A bin without pixels has maximum 0 and pixel
        `NO_PIXEL`, and so has every bin of a box that ends before it starts.
    """
    channels, height, width = features.shape[1:]
    shape = (len(rois), channels, *output_size)
    maxima = features.new_zeros(shape)
    argmax = torch.full(shape, NO_PIXEL, device=features.device)
    table = to_rows(features)
    for part, pixels, inside in _chunks(
        rois, output_size, spatial_scale, features.shape
    ):
        image = rois[part, 0].long() * (height * width)
        rows = table[pixels + image[:, None, None, None]]  # (r, P, P, S, C)
        rows = rows.masked_fill(~inside[..., None], -torch.inf)
        values, at = rows.max(3)  # (r, P, P, C) each
        at = pixels.gather(3, at)  # (r, P, P, C)
        is_empty = ~inside.any(3, keepdim=True)
        values = values.masked_fill(is_empty, 0)
        at = at.masked_fill(is_empty, NO_PIXEL)
        maxima[part] = values.permute(0, 3, 1, 2).to(maxima)  # (r, C, P, P)
        argmax[part] = at.permute(0, 3, 1, 2)  # (r, C, P, P)
    return maxima, argmax


def backward(
    grad_output: Tensor, rois: Tensor, argmax: Tensor, shape: torch.Size
) -> Tensor:
    """Return the gradient of `forward` in `features`.

    Args:
        grad_output: (R, C, P, P).
        rois: (R, 5); only the image index is read.
        argmax: Pixels of the maxima, (R, C, P, P).
        shape: (B, C, H, W), the shape of the features and of the result.
    """
    grad = grad_output.new_zeros(
        shape.numel(), dtype=compute_dtype(grad_output)
    )
    channel = torch.arange(shape[1], device=rois.device)
    plane = rois[:, :1].long() * shape[1] + channel  # (R, C)
    # (R, C, P, P)
    index = plane[..., None, None] * shape[2:].numel() + argmax.clamp(min=0)
    grad_pixel = grad_output.to(grad) * (argmax != NO_PIXEL)
    grad.scatter_add_(0, index.flatten(), grad_pixel.flatten())
    return grad.view(shape).to(grad_output)  # (B, C, H, W)


def _chunks(
    rois: Tensor,
    output_size: tuple[int, int],
    spatial_scale: float,
    shape: torch.Size,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield chunks of RoIs of similar size, which need little padding.

    Boxes that end before they start are in no chunk.

    Yields:
        Indices among all RoIs, (r,); pixels of their bins, (r, P, P, S),
        padded to the largest bin; True for the pixels inside the bin, of the
        same shape.
    """
    boxes = rois[:, 1:].to(compute_dtype(rois))
    start = boxes[:, [1, 0]] * spatial_scale
    extent = (boxes[:, [3, 2]] + 1) * spatial_scale - start
    firsts, lasts = [], []
    for axis, (bins, size) in enumerate(zip(output_size, shape[2:])):
        edge = torch.arange(bins + 1).to(start) * (
            extent[:, axis, None] / bins
        )
        # The compiled operator rounds in float32, whatever the type.
        edge = (edge + start[:, axis, None]).float()
        firsts.append(edge[:, :-1].floor().clamp(0, size).long())
        lasts.append(edge[:, 1:].ceil().clamp(0, size).long())
    spans = torch.stack(
        [(last - first).amax(1) for first, last in zip(firsts, lasts)], 1
    )
    order = spans.prod(1).argsort(descending=True, stable=True)
    order = order[(extent > 0).all(1)[order]]
    per_pixel = shape[1] * output_size[0] * output_size[1]
    while len(order):
        largest = int(spans[order[0]].prod())
        step = max(1, MAX_ELEMENTS // max(1, per_pixel * largest))
        part, order = order[:step], order[step:]
        pixels, inside = [], []
        for axis, span in enumerate(spans[part].amax(0).tolist()):
            reach = torch.arange(max(1, span), device=rois.device)
            pixel = firsts[axis][part][..., None] + reach  # (r, P, span)
            pixels.append(pixel.clamp(max=shape[2 + axis] - 1))
            inside.append(pixel < lasts[axis][part][..., None])
        y, x = pixels
        # (r, P, P, span of y, span of x) each
        index = y[:, :, None, :, None] * shape[3] + x[:, None, :, None, :]
        both = inside[0][:, :, None, :, None] & inside[1][:, None, :, None, :]
        yield part, index.flatten(3), both.flatten(3)  # (r, P, P, S)
