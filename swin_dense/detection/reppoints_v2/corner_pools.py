"""Corner pooling (CornerNet, arXiv 1808.01244, section 3.4).

A corner of a box is often outside of the object, so that only the edges that
meet there show it. Corner pooling brings the features of both edges to it.

Dimension key: B images, C channels, H and W the size of a level.
"""

import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_norm_layer
from mmcv.ops import CornerPool
from torch import Tensor, nn

TOP_LEFT = ('top', 'left')
BOTTOM_RIGHT = ('bottom', 'right')


class CornerPools(nn.Module):
    """Pool the features in two directions from each position.

    For a top-left corner these are the maximum of all positions below it, and
    the maximum of all positions to its right.

    Args:
        directions: Modes of mmcv's `CornerPool`: `TOP_LEFT` or
            `BOTTOM_RIGHT`.
        channels: Channels of the input and of the output.
        pool_channels: Channels that are pooled.
        norm_cfg: Norm of the convolutions.
    """

    def __init__(
        self,
        directions: tuple[str, str],
        channels: int,
        pool_channels: int,
        norm_cfg: dict,
    ) -> None:
        super().__init__()
        self.p1_conv1 = ConvModule(
            channels, pool_channels, 3, padding=1, norm_cfg=norm_cfg
        )
        self.p2_conv1 = ConvModule(
            channels, pool_channels, 3, padding=1, norm_cfg=norm_cfg
        )
        self.p_conv1 = nn.Conv2d(
            pool_channels, channels, 3, padding=1, bias=False
        )
        self.p_gn1 = build_norm_layer(norm_cfg, channels)[1]
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.gn1 = build_norm_layer(norm_cfg, channels)[1]
        self.conv2 = ConvModule(channels, channels, 1, norm_cfg=norm_cfg)
        self.pool1, self.pool2 = (CornerPool(mode) for mode in directions)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        pooled = self.pool1(self.p1_conv1(x)) + self.pool2(self.p2_conv1(x))
        pooled = self.p_gn1(self.p_conv1(pooled))
        return self.conv2(F.relu(pooled + self.gn1(self.conv1(x))))
