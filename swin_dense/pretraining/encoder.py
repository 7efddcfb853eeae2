"""Backbones as encoders of pretraining: one map, through the norm `norm`.

Parameter names are those of the official classifiers, so that checkpoints of
pretraining have the official names.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from swin_dense.backbones.base import SwinPyramid
from swin_dense.backbones.host_arguments import (
    Arch,
    InitCfg,
    Pretrained,
    arch_sizes,
)
from swin_dense.backbones.pyramid_config import PyramidConfig
from swin_dense.backbones.swin import SwinTransformer
from swin_dense.backbones.swin_v2 import SwinTransformerV2
from swin_dense.ops import to_tuple
from swin_dense.ops.grid import Grid, IntOrGrid
from swin_dense.registry import MODELS
from swin_dense.sizes import SWIN, SWIN_V2


class Encoder(SwinPyramid):
    """A pyramid whose output is the map of the last stage.

    The norm of the output is named `norm`, as in the official classifiers. A
    subclass names the class of a backbone before this one, so that this one
    changes the backbone's `config`.

    Attributes:
        num_channels: Channels of the output.

    Args:
        config: Sizes and settings.
        init_cfg: See `SwinPyramid`.
        pretrained: See `SwinPyramid`.
    """

    def __init__(
        self,
        config: PyramidConfig,
        init_cfg: InitCfg = None,
        pretrained: Pretrained = None,
    ) -> None:
        last = len(config.stages) - 1
        super().__init__(
            replace(config, out_indices=(last,)), init_cfg, pretrained
        )
        self.num_channels = self.channels[-1]
        self.norm = self._modules.pop(f'norm{last}')

    def output_norm(self, index: int) -> nn.Module:
        """Return the norm of the only output."""
        return getattr(self, 'norm', None) or super().output_norm(index)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Compute the map of the last stage after the norm.

        Args:
            x: Images `(B, in_channels, H, W)`.

        Returns:
            Map `(B, C, H / 32, W / 32)` for four stages.
        """
        return self.encode(self.patch_embed(x))  # (B, C, h, w)

    def encode(self, x: Tensor) -> Tensor:
        """Compute the map `(B, C, h, w)` of embedded patches.

        Args:
            x: Map `(B, *grid, C)` of the patch embedding.
        """
        return self.forward_stages(self.place_tokens(x))[-1]


@MODELS.register_module()
class SwinEncoder(SwinTransformer, Encoder):
    """Swin V1 as the official classifiers compute it.

    A window that is larger than the map of its stage shrinks to the map and is
    not shifted.

    Args:
        img_size: Size of the images in pixels, one number or (height, width).
        window_size: Window in tokens, one number or (height, width).
        shrink_tables: If true, the bias table of a stage is that of the
            window that shrank, as in files of Microsoft's code. If false, all
            stages have tables of the same size, of which a smaller window
            uses the middle, as in mmpretrain. Resizing to other windows is
            only right if true.
        **settings: Further arguments of `SwinTransformer`.
    """

    def __init__(
        self,
        img_size: IntOrGrid = 224,
        window_size: IntOrGrid = 7,
        shrink_tables: bool = False,
        **settings: Any,
    ) -> None:
        depths = settings.get('depths')
        if depths is None:
            depths = arch_sizes(settings.get('arch') or 'tiny', SWIN)['depths']
        windows = windows_of_maps(
            img_size, settings.get('patch_size', 4), window_size, len(depths)
        )
        if not shrink_tables:
            windows = [to_tuple(window_size, 2, 'window_size')] * len(depths)
        super().__init__(
            img_size=img_size,
            stage_cfgs=[dict(window_size=window) for window in windows],
            pad_small_map=False,
            **settings,
        )


@MODELS.register_module()
class SwinV2Encoder(SwinTransformerV2, Encoder):
    """Swin V2 as the official classifiers compute it.

    A window that is larger than the map of its stage shrinks to the map and is
    not shifted. A checkpoint records the windows in use.

    Args:
        arch: See `SwinTransformerV2`.
        img_size: Size of the images in pixels, one number or (height, width).
        window_size: Window in tokens, one number or (height, width).
        **settings: Further arguments of `SwinTransformerV2`.
    """

    def __init__(
        self,
        arch: Arch = 'tiny',
        img_size: IntOrGrid = 256,
        window_size: IntOrGrid = 8,
        **settings: Any,
    ) -> None:
        super().__init__(
            arch=arch,
            img_size=img_size,
            window_size=windows_of_maps(
                img_size,
                settings.get('patch_size', 4),
                window_size,
                len(arch_sizes(arch, SWIN_V2)['depths']),
            ),
            **settings,
        )


def windows_of_maps(
    img_size: IntOrGrid,
    patch_size: IntOrGrid,
    window_size: IntOrGrid,
    num_stages: int,
) -> Sequence[Grid]:
    """Return the window of each stage, at most the map of the stage.

    Args:
        img_size: Size of the images in pixels.
        patch_size: Patch in pixels.
        window_size: Nominal window in tokens.
        num_stages: Number of stages.

    Raises:
        ValueError: If a size is not positive, or the images have no whole
            token in the last stage.
    """
    image = to_tuple(img_size, 2, 'img_size')
    patch = to_tuple(patch_size, 2, 'patch_size')
    window = to_tuple(window_size, 2, 'window_size')
    stride = [side * 2 ** (num_stages - 1) for side in patch]
    if any(side % step for side, step in zip(image, stride)):
        raise ValueError(
            f'img_size={img_size} is no multiple of {stride[0]}x{stride[1]} '
            'pixels, the patch of a token of the last stage'
        )
    return [
        tuple(
            min(w, side // (p * 2**stage))
            for w, side, p in zip(window, image, patch)
        )
        for stage in range(num_stages)
    ]
