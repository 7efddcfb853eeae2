"""Predict masks by convolutions whose weights are predicted for each object.

CondInst (arXiv 2003.05664), with auxiliary masks from the hidden layers for
training.

Dimension key: B images, N objects of an image, h and w the size of the map
that masks are computed on, F features of a pixel of this map.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmcv.cnn import ConvModule
from mmdet.models.utils import aligned_bilinear
from torch import Tensor, nn

from swin_dense.compat.operators.sampling import without_autocast


class Objects(NamedTuple):
    """The parameters and positions that masks are computed from.

    Attributes:
        params: Weights and biases of the convolutions, (N, num_params).
        centers: x and y of the objects' centres in pixels, (N, 2).
        levels: Number of the pyramid level of each object, (N,).
    """

    params: Tensor
    centers: Tensor
    levels: Tensor


class MaskBranch(nn.Module):
    """Compute the features of pixels from the finest levels of the pyramid.

    Args:
        in_channels: Channels of the pyramid.
        channels: Hidden channels.
        out_channels: Features F of a pixel.
        num_levels: Number of levels to read, the finest first.
        num_convs: Number of convolutions after the sum of the levels.
        norm_cfg: Norm of the convolutions.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        out_channels: int,
        num_levels: int,
        num_convs: int,
        norm_cfg: dict,
    ) -> None:
        super().__init__()

        def conv(first: int) -> ConvModule:
            return ConvModule(first, channels, 3, padding=1, norm_cfg=norm_cfg)

        self.refine = nn.ModuleList(
            conv(in_channels) for _ in range(num_levels)
        )
        self.tower = nn.Sequential(
            *(conv(channels) for _ in range(num_convs)),
            nn.Conv2d(channels, out_channels, 1),
        )

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Map levels (B, in_channels, h_i, w_i) to (B, F, h, w)."""
        total = self.refine[0](levels[0])
        height, width = total.shape[-2:]
        for conv, level in zip(self.refine[1:], levels[1:]):
            level = conv(level)
            factor = -(-height // level.shape[-2])
            level = aligned_bilinear(level, factor)
            total = total + level[..., :height, :width]
        return self.tower(total)


class DynamicConvs(nn.Module):
    """Three 1x1 convolutions from the features of pixels to one mask logit.

    The parameters of an object are, in this order, the weights of the three
    layers, their biases, the weights of two auxiliary layers, which see the
    input and the first hidden layer, and their biases.

    Args:
        in_channels: Features F of a pixel.
        channels: Channels of the hidden layers.
        strides: Pixels between the points of each level.
        size_of_interest: Unit of the coordinates around an object, in strides
            of its level.
    """

    sizes_of_interest: Tensor

    def __init__(
        self,
        in_channels: int,
        channels: int,
        strides: Sequence[int],
        size_of_interest: int = 8,
    ) -> None:
        super().__init__()
        inputs = in_channels + 2  # x and y besides the features
        self.layer_shapes = [
            (channels, inputs),
            (channels, channels),
            (1, channels),
        ]
        self.auxiliary_shapes = [(1, inputs), (1, channels)]
        self.num_params = sum(self._sizes())
        self.register_buffer(
            'sizes_of_interest',
            torch.tensor([size_of_interest * stride for stride in strides]),
        )

    def _sizes(self) -> list[int]:
        return [
            size
            for shapes in (self.layer_shapes, self.auxiliary_shapes)
            for sizes in (
                [outputs * inputs for outputs, inputs in shapes],
                [outputs for outputs, _ in shapes],
            )
            for size in sizes
        ]

    def split(self, params: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return weights (N, outputs, inputs) and biases (N, outputs, 1).

        Args:
            params: (N, num_params).

        Returns:
            Weights and biases of the three layers, then of the two auxiliary
            layers.
        """
        parts = iter(params.split(self._sizes(), 1))
        layers: list[tuple[Tensor, Tensor]] = []
        for shapes in (self.layer_shapes, self.auxiliary_shapes):
            # (N, outputs, inputs) each
            weights = [next(parts).unflatten(1, shape) for shape in shapes]
            biases = [next(parts)[..., None] for _ in shapes]
            layers += zip(weights, biases)
        return layers

    def forward(
        self, features: Tensor, objects: Objects, stride: int
    ) -> list[Tensor]:
        """Return the masks of the objects of one image.

        Args:
            features: Features of pixels, (F, h, w).
            objects: The N objects.
            stride: Pixels of the image per pixel of the map.

        Returns:
            Logits (N, h, w) of the auxiliary layer on the input, of that on
            the first hidden layer, and of the last layer. The last ones are
            the masks.
        """
        size = features.shape[-2:]
        with without_autocast(features.device.type):
            dtype = objects.centers.dtype
            x = torch.cat(
                [
                    self._coordinates(objects, size, stride),
                    features.flatten(1)
                    .to(dtype)
                    .expand(len(objects.params), -1, -1),
                ],
                dim=1,
            )  # (N, 2 + F, h * w)
            first, second, last, input_mask, hidden_mask = (
                lambda maps, layer=layer: torch.baddbmm(
                    layer[1], layer[0], maps
                )
                for layer in self.split(objects.params.to(dtype))
            )
            hidden = first(x).relu()
            logits = [
                input_mask(x),
                hidden_mask(hidden),
                last(second(hidden).relu()),
            ]
        return [mask.view(-1, *size) for mask in logits]  # (N, h, w) each

    def _coordinates(
        self, objects: Objects, size: Sequence[int], stride: int
    ) -> Tensor:
        """Return x and y from each pixel to the objects' centres.

        The position of a pixel of the map is the middle of the area that it
        covers in the image.

        Returns:
            (N, 2, h * w), in units of the size of interest.
        """
        height, width = size
        y, x = (
            torch.arange(count, device=objects.centers.device) * stride
            + stride // 2
            for count in (height, width)
        )
        pixels = torch.stack(
            [x.repeat(height), y.repeat_interleave(width)]
        )  # (2, h * w)
        distance = objects.centers[:, :, None] - pixels
        return distance / self.sizes_of_interest[objects.levels, None, None]
