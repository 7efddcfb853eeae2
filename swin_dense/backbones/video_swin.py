"""Video Swin Transformer: Swin V1 with time as a third axis."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor

from swin_dense.backbones.base import SwinPyramid
from swin_dense.backbones.host_arguments import (
    Arch,
    InitCfg,
    Pretrained,
    arch_sizes,
    depths_and_heads,
    layer_from_cfg,
    reject_unknown,
)
from swin_dense.backbones.pyramid_config import (
    PyramidConfig,
    StageConfig,
    feed_forward,
)
from swin_dense.layers import PatchMerging, WindowAttention
from swin_dense.ops import to_tuple
from swin_dense.ops.grid import IntOrGrid
from swin_dense.registry import MODELS
from swin_dense.sizes import SWIN

# mmaction2's configs may give this initialisation, which is the usual one.
_FROM_SCRATCH = [
    dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
    dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
]


@MODELS.register_module()
class SwinTransformer3D(SwinPyramid):
    """Video Swin Transformer (arXiv 2106.13230) with feature pyramid.

    Takes the arguments of the class of the same name in mmaction2: to use one
    of its configs, change `type` alone. Numerics are those of the official
    code: padding is added after the norm and takes part in attention. On an
    axis where the map is not larger than the window, the window shrinks to
    the map and is not shifted.

    One difference is deliberate. The bias of a shrunken window is gathered by
    coordinates, so that every offset keeps the value it was trained with. The
    official code slices the index of the full window instead, which is right
    if only time shrinks, but takes wrong values if height or width shrink.

    Args:
        arch: `tiny`, `small`, `base`, `large`, the first letter of one, or a
            dictionary of `embed_dims`, `depths` and `num_heads`.
        pretrained: File or address of weights, see `SwinPyramid`.
        pretrained2d: If true, weights of a model for images are accepted and
            inflated. The layout of a checkpoint is recognised; one of a model
            for clips is loaded as it is.
        patch_size: Patch (frames, height, width) in frames and pixels.
        in_channels: Channels of the input.
        window_size: Window (time, height, width) in tokens.
        mlp_ratio: Hidden channels of the feed-forward networks, divided by
            the channels of the stage.
        qkv_bias: If true, queries, keys and values have a bias.
        qk_scale: Factor of the dot products; None for one over the square
            root of the channels of a head.
        drop_rate: Dropout rate.
        attn_drop_rate: Dropout rate of attention weights.
        drop_path_rate: Stochastic depth rate of the last block.
        act_cfg: Activation, a class of `torch.nn`.
        norm_cfg: Norm, `LN` with its arguments.
        patch_norm: If true, the embedding has a norm.
        frozen_stages: -1 for none; 0 freezes the embedding, k also the first
            k stages.
        with_cp: If true, the backward pass recomputes activations (less
            memory, more time).
        out_indices: Stages whose maps are outputs.
        out_after_downsample: If true, the output of a stage is its map after
            the merging instead of before.
        mask_padding: If true, padding is hidden from real tokens. The
            official weights were trained without masks of padding.
        init_cfg: `dict(type='Pretrained', checkpoint=...)`, mmengine's
            initialisation of some layers, a list of these, or None.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If a value is out of range, or values contradict each
            other.
    """

    def __init__(
        self,
        arch: Arch,
        pretrained: Pretrained = None,
        pretrained2d: bool = True,
        patch_size: IntOrGrid = (2, 4, 4),
        in_channels: int = 3,
        window_size: IntOrGrid = (8, 7, 7),
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        act_cfg: dict = dict(type='GELU'),  # noqa: B006, B008
        norm_cfg: dict = dict(type='LN'),  # noqa: B006, B008
        patch_norm: bool = True,
        frozen_stages: int = -1,
        with_cp: bool = False,
        out_indices: Sequence[int] = (3,),
        out_after_downsample: bool = False,
        mask_padding: bool = False,
        init_cfg: InitCfg = None,
        **unknown: Any,
    ) -> None:
        reject_unknown(type(self), unknown)
        if init_cfg == _FROM_SCRATCH:
            init_cfg = None
        norm = layer_from_cfg(norm_cfg, 'norm_cfg')
        sizes = arch_sizes(arch, SWIN)
        attention = partial(
            WindowAttention,
            window_size=to_tuple(window_size, 3, 'window_size'),
            qkv_bias=qkv_bias,
            qk_scale=qk_scale,
            attn_drop=attn_drop_rate,
            proj_drop=drop_rate,
        )
        mlp = partial(
            feed_forward,
            mlp_ratio=mlp_ratio,
            drop=drop_rate,
            activation=layer_from_cfg(act_cfg, 'act_cfg'),
        )
        self.pretrained2d = pretrained2d  # read when weights are loaded
        super().__init__(
            PyramidConfig(
                patch_size=to_tuple(patch_size, 3, 'patch_size'),
                in_channels=in_channels,
                embed_dims=sizes['embed_dims'],
                stages=tuple(
                    StageConfig(
                        mixers=(partial(attention, num_heads=heads),) * depth,
                        feedforwards=(mlp,) * depth,
                        shrink=True,
                        mask_padding=mask_padding,
                        with_cp=with_cp,
                    )
                    for depth, heads in depths_and_heads(sizes)
                ),
                out_indices=tuple(out_indices),
                norm=norm,
                merging=partial(PatchMerging, norm=norm),
                patch_norm=patch_norm,
                drop_rate=drop_rate,
                drop_path_rate=drop_path_rate,
                out_after_merging=out_after_downsample,
                frozen_stages=frozen_stages,
            ),
            init_cfg,
            pretrained,
        )

    def forward(  # type: ignore[override]
        self, x: Tensor
    ) -> Tensor | tuple[Tensor, ...]:
        """Compute the pyramid of a clip.

        Args:
            x: Clips `(B, in_channels, T, H, W)` of any size; T is at least
                the number of frames of a patch.

        Returns:
            A contiguous map `(B, C, T', H', W')` for each of `out_indices`,
            where T' is the number of temporal patches at all stages. A single
            output is returned as a map instead of a tuple, as mmaction2's
            recognizers and heads expect.

        Raises:
            ValueError: If the input has another number of axes, or fewer
                frames than a patch.
        """
        check_clips(self, x)
        outputs = super().forward(x)
        return outputs[0] if len(outputs) == 1 else outputs


def check_clips(model: SwinPyramid, x: Tensor) -> None:
    """Raise an error for inputs that are not clips of sufficient length.

    Raises:
        ValueError: If the input is not `(B, C, T, H, W)`, or shorter than a
            temporal patch.
    """
    if x.ndim != 5:
        raise ValueError(
            f'{type(model).__name__} takes clips (B, C, T, H, W), '
            f'got shape {tuple(x.shape)}'
        )
    frames = model.patch_embed.patch_size[0]
    if x.shape[2] < frames:
        raise ValueError(
            f'a clip of {x.shape[2]} frames is shorter than a temporal '
            f'patch, {frames} frames: repeat its frames, or sample more'
        )
