"""The feature pyramid of RepPoints V2 with Swin: weighted fusion, both ways.

Dimension key: B images, C channels, H and W the size of a level.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule, xavier_init
from torch import Tensor, nn

from swin_dense.registry import MODELS

EPS = 1e-4  # keeps a fusion finite if all its weights are zero


class WeightedFusion(nn.Module):
    """Add maps with learned weights that sum to 1, then apply swish.

    EfficientDet's fast normalised fusion (arXiv 1911.09070, section 3.3).

    Args:
        num_inputs: Number of maps.
    """

    def __init__(self, num_inputs: int) -> None:
        super().__init__()
        # The first axes are those of the released checkpoints.
        self.weights = nn.Parameter(torch.ones(1, 1, 1, 1, num_inputs))

    def forward(self, *maps: Tensor) -> Tensor:
        """Fuse maps (B, C, H, W) of one shape into a map of that shape."""
        weights = self.weights.flatten().relu()  # (inputs, )
        weights = weights / (weights.sum() + EPS)
        return F.silu(sum(map_ * w for map_, w in zip(maps, weights)))


class BiFPNLayer(nn.Module):
    """One pass from the coarsest level to the finest, and one back.

    Args:
        in_channels: Channels of each level. A level with other than
            `out_channels` channels first passes a 1x1 convolution.
        out_channels: Channels of all outputs.
        norm_cfg: Norm of the convolutions.
    """

    def __init__(
        self, in_channels: Sequence[int], out_channels: int, norm_cfg: dict
    ) -> None:
        super().__init__()

        def conv(channels: int, kernel: int) -> ConvModule:
            return ConvModule(
                channels,
                out_channels,
                kernel,
                padding=kernel // 2,
                norm_cfg=norm_cfg,
                act_cfg=None,
            )

        steps = len(in_channels) - 1
        self.lateral_convs = nn.ModuleList(
            nn.Identity() if channels == out_channels else conv(channels, 1)
            for channels in in_channels
        )
        self.lateral_combine = nn.ModuleList(
            WeightedFusion(2) for _ in range(steps)
        )
        self.lateral_combine_conv = nn.ModuleList(
            conv(out_channels, 3) for _ in range(steps)
        )
        # The coarsest level has no lateral map besides its top-down one.
        self.out_combine = nn.ModuleList(
            WeightedFusion(3 if step < steps - 1 else 2)
            for step in range(steps)
        )
        self.out_combine_conv = nn.ModuleList(
            conv(out_channels, 3) for _ in range(steps)
        )

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Pass levels (B, C_i, H_i, W_i), finest first, down and up again.

        Returns:
            Levels (B, out_channels, H_i, W_i).
        """
        laterals = [
            conv(level) for conv, level in zip(self.lateral_convs, levels)
        ]
        top_down = laterals[:]
        for i in reversed(range(len(laterals) - 1)):
            above = F.interpolate(
                top_down[i + 1], laterals[i].shape[-2:], mode='nearest'
            )
            fused = self.lateral_combine[i](laterals[i], above)
            top_down[i] = self.lateral_combine_conv[i](fused)
        outputs = top_down[:1]
        for i in range(1, len(laterals)):
            maps = [halve(outputs[-1]), top_down[i]]
            if i < len(laterals) - 1:
                maps.append(laterals[i])
            fused = self.out_combine[i - 1](*maps)
            outputs.append(self.out_combine_conv[i - 1](fused))
        return outputs


@MODELS.register_module()
class BiFPN(BaseModule):
    """A pyramid whose levels are fused top-down and bottom-up, repeatedly.

    Levels beyond those of the backbone are made by pooling its last map. The
    parameter names are those of the released checkpoints of RepPoints V2.

    Args:
        in_channels: Channels of each map of the backbone, finest first.
        out_channels: Channels of all outputs.
        num_outs: Number of output levels.
        num_repeats: Number of passes down and up.
        norm_cfg: Norm of the convolutions.
        init_cfg: See mmengine.

    Raises:
        ValueError: If `num_outs` is below 2 or the number of inputs.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        num_outs: int,
        num_repeats: int = 2,
        norm_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if num_outs < max(2, len(in_channels)):
            raise ValueError(
                f'BiFPN got in_channels={list(in_channels)} and num_outs='
                f'{num_outs}: num_outs must be 2 at least, and no smaller '
                'than the number of inputs'
            )
        norm_cfg = norm_cfg or dict(type='GN', num_groups=32)
        self.num_outs = num_outs
        last = in_channels[-1]
        channels = [*in_channels, *[last] * (num_outs - len(in_channels))]
        self.bi_fpn = nn.ModuleList()
        for _ in range(num_repeats):
            self.bi_fpn.append(BiFPNLayer(channels, out_channels, norm_cfg))
            channels = [out_channels] * num_outs

    def init_weights(self) -> None:
        """Draw the convolutions' weights, Xavier uniform."""
        super().init_weights()
        if self.init_cfg is None:
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    xavier_init(module, distribution='uniform')

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Map the backbone's maps (B, C_i, H_i, W_i) to the pyramid.

        Returns:
            `num_outs` levels (B, out_channels, H_i, W_i), finest first.
        """
        levels = list(inputs)
        while len(levels) < self.num_outs:
            levels.append(halve(levels[-1]))
        for layer in self.bi_fpn:
            levels = layer(levels)
        return tuple(levels)


def halve(level: Tensor) -> Tensor:
    """Pool a map (B, C, H, W) to (B, C, ceil(H / 2), ceil(W / 2))."""
    return F.max_pool2d(level, kernel_size=3, stride=2, padding=1)
