"""Video Swin V2: Swin V2 with time as a third axis."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

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
from swin_dense.backbones.swin_v2 import Windows, windows_per_stage
from swin_dense.backbones.video_swin import check_clips
from swin_dense.layers import CosineAttention, PatchMerging
from swin_dense.ops import to_tuple
from swin_dense.ops.grid import IntOrGrid
from swin_dense.registry import MODELS
from swin_dense.sizes import SWIN_V2


@MODELS.register_module()
class SwinTransformerV2_3D(SwinPyramid):
    """Swin Transformer V2 for clips, with feature pyramid.

    The V2 paper (arXiv 2111.09883) reports results on Kinetics-400, but no
    code was released. This class combines the order of blocks, the padding
    and the shrinking windows of Video Swin with the blocks of Swin V2: norms
    at the end of the branches, scaled cosine attention, and a log-MLP that
    computes position biases from offsets in time, height and width. As in
    `SwinTransformerV2`, padding is hidden from real tokens. A window shrinks
    to a map that is not larger, axis by axis, that axis is not shifted, and
    the position bias is computed for the smaller window.

    Weights of a Swin V2 for images are inflated: a clip of equal frames then
    gives at every time step what the image gives.

    Args:
        arch: `tiny`, `small`, `base`, `large`, `huge`, `giant`, `giant_hub`
            or their first letter, or a dictionary of `embed_dims`, `depths`,
            `num_heads` and optionally `extra_norm_every_n_blocks`.
        pretrained: File or address of weights, see `SwinPyramid`.
        pretrained2d: If true, the weights may be those of a Swin V2 for
            images, which are inflated.
        patch_size: Patch (frames, height, width) in frames and pixels. The
            paper does not say whether a patch has one frame or two.
        in_channels: Channels of the input.
        window_size: Window (time, height, width) in tokens, one number for
            all axes, or one of these for each stage.
        mlp_ratio: Hidden channels of the feed-forward networks, divided by
            the channels of the stage.
        qkv_bias: If true, queries and values have a bias.
        drop_rate: Dropout rate after the embedding.
        attn_drop_rate: Dropout rate of attention weights.
        drop_path_rate: Stochastic depth rate of the last block.
        norm_cfg: Norm of the outputs, `LN` with its arguments; None for none.
        patch_norm: If true, the embedding has a norm.
        frozen_stages: -1 for none; 0 freezes the embedding, k also the first
            k stages, as in `SwinTransformer3D`.
        with_cp: If true, the backward pass recomputes activations (less
            memory, more time).
        sequential_attention: If true, attention computes a few windows at a
            time, in training too (less memory, more time).
        out_indices: Stages whose maps are outputs.
        mask_padding: If true, padding is hidden from real tokens.
        pretrained_window_sizes: Window that the weights were pre-trained
            with, in the form of `window_size`; it sets the scale of the
            position bias. 0, for an axis or for all axes, means the window in
            use. By default it is read from the checkpoint. Inflation reads
            height and width from the checkpoint and takes the time of
            `window_size`.
        init_cfg: `dict(type='Pretrained', checkpoint=...)`, mmengine's
            initialisation of some layers, a list of these, or None.
        branch_norm_init: See `SwinTransformerV2`.
        logit_scale_init: See `SwinTransformerV2`.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If a value is out of range, or values contradict each
            other.
    """

    def __init__(
        self,
        arch: Arch = 'tiny',
        pretrained: Pretrained = None,
        pretrained2d: bool = True,
        patch_size: IntOrGrid = (2, 4, 4),
        in_channels: int = 3,
        window_size: Windows = (8, 8, 8),
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        norm_cfg: dict | None = dict(type='LN'),  # noqa: B006, B008
        patch_norm: bool = True,
        frozen_stages: int = -1,
        with_cp: bool = False,
        sequential_attention: bool = False,
        out_indices: Sequence[int] = (3,),
        mask_padding: bool = True,
        pretrained_window_sizes: Windows = 0,
        init_cfg: InitCfg = None,
        branch_norm_init: float = 0.0,
        logit_scale_init: float = 10.0,
        **unknown: Any,
    ) -> None:
        reject_unknown(type(self), unknown)
        sizes = arch_sizes(arch, SWIN_V2)
        count = len(sizes['depths'])
        windows = windows_per_stage(window_size, count, 'window_size', 3)
        trained = windows_per_stage(
            pretrained_window_sizes, count, 'pretrained_window_sizes', 3
        )
        mlp = partial(
            feed_forward, mlp_ratio=mlp_ratio, drop=0.0, activation=nn.GELU
        )
        stages = []
        for (depth, heads), window, unit in zip(
            depths_and_heads(sizes), windows, trained
        ):
            attention = partial(
                CosineAttention,
                window_size=window,
                num_heads=heads,
                qkv_bias=qkv_bias,
                attn_drop=attn_drop_rate,
                sequential=sequential_attention,
                pretrained_window_size=unit,
                logit_scale_init=logit_scale_init,
            )
            stages.append(
                StageConfig(
                    mixers=(attention,) * depth,
                    feedforwards=(mlp,) * depth,
                    shrink=True,
                    mask_padding=mask_padding,
                    with_cp=with_cp,
                )
            )
        self.pretrained2d = pretrained2d  # read when weights are loaded
        super().__init__(
            PyramidConfig(
                patch_size=to_tuple(patch_size, 3, 'patch_size'),
                in_channels=in_channels,
                embed_dims=sizes['embed_dims'],
                stages=tuple(stages),
                out_indices=tuple(out_indices),
                norm=nn.LayerNorm,
                merging=partial(PatchMerging, post_norm=True),
                output_norm=layer_from_cfg(norm_cfg, 'norm_cfg')
                if norm_cfg
                else nn.Identity,
                patch_norm=patch_norm,
                post_norm=True,
                branch_norm_init=branch_norm_init,
                extra_norm_every=sizes.get('extra_norm_every_n_blocks', 0),
                drop_rate=drop_rate,
                drop_path_rate=drop_path_rate,
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
            x: Clips `(B, in_channels, T, H, W)` of any size, at least as long
                as a temporal patch.

        Returns:
            A contiguous map `(B, C, T', H', W')` for each of `out_indices`,
            see `SwinTransformer3D.forward`. A single output is returned as a
            map instead of a tuple.

        Raises:
            ValueError: If the input has another number of axes, or fewer
                frames than a patch.
        """
        check_clips(self, x)
        outputs = super().forward(x)
        return outputs[0] if len(outputs) == 1 else outputs
