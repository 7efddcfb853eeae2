"""Swin Transformer V1 for images."""

from collections.abc import Sequence
from functools import partial
from typing import Any

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
from swin_dense.backbones.mmpretrain_arguments import (
    has_patch_norm,
    is_of_mmpretrain,
    stage_settings,
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

# Settings of single stages that `stage_cfgs` may have.
STAGE_SETTINGS = ('window_size', 'with_cp', 'pad_small_map')


@MODELS.register_module()
class SwinTransformer(SwinPyramid):
    """Swin Transformer backbone (arXiv 2103.14030) with feature pyramid.

    Takes the arguments of the classes of the same name in mmdet, mmseg and
    mmpretrain: to use one of their configs, change `type` alone. Numerics are
    those of the official detection and segmentation code: padding is added
    after the norm and takes part in attention, and a map smaller than the
    window is padded to it.

    A config of mmpretrain is recognised by arguments that only mmpretrain has
    (those after `init_cfg`) or by the default scope. The defaults are then
    those of its class: only the last stage is an output, windows shrink to
    small maps, only the embedding has dropout, and `frozen_stages` counts
    from 0.

    Args:
        arch: `tiny`, `small`, `base`, `large`, the first letter of one, or a
            dictionary of `embed_dims`, `depths` and `num_heads`. By default
            `tiny`. The three arguments of these names override its values.
        pretrain_img_size: Image size in pixels that the absolute position
            embedding was made for; unused without one.
        in_channels: Channels of the input.
        embed_dims: Channels of the first stage.
        patch_size: Patch in pixels.
        window_size: Window in tokens, one number or (height, width).
        mlp_ratio: Hidden channels of the feed-forward networks, divided by
            the channels of the stage.
        depths: Blocks of each stage.
        num_heads: Attention heads of each stage.
        strides: Kept for the hosts' configs: patch size, then 2 for each
            merging; no other value is possible.
        out_indices: Stages whose maps are outputs; by default all stages, in
            a config of mmpretrain the last one.
        qkv_bias: If true, queries, keys and values have a bias.
        qk_scale: Factor of the dot products; None for one over the square
            root of the channels of a head.
        patch_norm: If true, embedding and mergings have a norm.
        drop_rate: Dropout rate.
        attn_drop_rate: Dropout rate of attention weights.
        drop_path_rate: Stochastic depth rate of the last block.
        use_abs_pos_embed: If true, an absolute position embedding is added.
        act_cfg: Activation, a class of `torch.nn`.
        norm_cfg: Norm, `LN` with its arguments.
        with_cp: If true, the backward pass recomputes activations (less
            memory, more time).
        sequential_attention: If true, attention computes a few windows at a
            time, in training too (less memory, more time).
        pretrained: File or address of weights, see `SwinPyramid`.
        convert_weights: Kept for the hosts' configs; the layout of a
            checkpoint is always recognised.
        frozen_stages: -1 for none; 0 freezes the embedding, k also the first
            k stages.
        mask_padding: If true, padding is hidden from real tokens. The
            official weights were trained without masks of padding.
        init_cfg: `dict(type='Pretrained', checkpoint=...)`, mmengine's
            initialisation of some layers, a list of these, or None.
        img_size: mmpretrain's name for `pretrain_img_size`.
        out_after_downsample: If true, the output of a stage is its map after
            the merging instead of before.
        interpolate_mode: Interpolation of the absolute position embedding,
            `bicubic` or `bilinear`.
        norm_eval: Kept for mmpretrain's configs; it concerns batch norms,
            and the model has none.
        pad_small_map: If true, maps smaller than the window are padded and
            shifted like others.
        stage_cfgs: Settings of all stages, or a list of those of each:
            `window_size`, `with_cp`, `pad_small_map`, also in `block_cfgs`.
        patch_cfg: Settings of the embedding: `norm_cfg`, None for no norm.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If a value is out of range, or values contradict each
            other.
    """

    def __init__(
        self,
        arch: Arch | None = None,
        pretrain_img_size: IntOrGrid = 224,
        in_channels: int = 3,
        embed_dims: int | None = None,
        patch_size: IntOrGrid = 4,
        window_size: IntOrGrid = 7,
        mlp_ratio: float = 4,
        depths: Sequence[int] | None = None,
        num_heads: Sequence[int] | None = None,
        strides: Sequence[int] | None = None,
        out_indices: Sequence[int] | None = None,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        patch_norm: bool = True,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        use_abs_pos_embed: bool = False,
        act_cfg: dict = dict(type='GELU'),  # noqa: B006, B008
        norm_cfg: dict = dict(type='LN'),  # noqa: B006, B008
        with_cp: bool = False,
        sequential_attention: bool = False,
        pretrained: Pretrained = None,
        convert_weights: bool = False,
        frozen_stages: int = -1,
        mask_padding: bool = False,
        init_cfg: InitCfg = None,
        img_size: IntOrGrid | None = None,
        out_after_downsample: bool | None = None,
        interpolate_mode: str | None = None,
        norm_eval: bool | None = None,
        pad_small_map: bool | None = None,
        stage_cfgs: dict | Sequence[dict] | None = None,
        patch_cfg: dict | None = None,
        **unknown: Any,
    ) -> None:
        reject_unknown(type(self), unknown)
        of_mmpretrain = is_of_mmpretrain(
            img_size,
            out_after_downsample,
            interpolate_mode,
            norm_eval,
            pad_small_map,
            stage_cfgs,
            patch_cfg,
        )
        sizes = arch_sizes(arch or 'tiny', SWIN)
        changes = dict(
            embed_dims=embed_dims, depths=depths, num_heads=num_heads
        )
        sizes.update({k: v for k, v in changes.items() if v is not None})
        count = len(sizes['depths'])
        if out_indices is None:
            out_indices = (count - 1,) if of_mmpretrain else range(count)
        if interpolate_mode not in (None, 'bicubic', 'bilinear'):
            raise ValueError(
                "interpolate_mode must be 'bicubic' or "
                f"'bilinear', got {interpolate_mode!r}"
            )
        settings = stage_settings(stage_cfgs or {}, count, STAGE_SETTINGS)
        branch_drop = 0.0 if of_mmpretrain else drop_rate
        patch = to_tuple(patch_size, 2, 'patch_size')
        merging = (2,) * (count - 1)
        if strides is not None and tuple(strides) != (patch[0], *merging):
            raise ValueError(
                f'strides must be the patch size and 2 for each merging, '
                f'{(patch[0], *merging)}, got {tuple(strides)}'
            )
        norm = layer_from_cfg(norm_cfg, 'norm_cfg')
        attention = partial(
            WindowAttention,
            qkv_bias=qkv_bias,
            qk_scale=qk_scale,
            attn_drop=attn_drop_rate,
            proj_drop=branch_drop,
            sequential=sequential_attention,
        )
        mlp = partial(
            feed_forward,
            mlp_ratio=mlp_ratio,
            drop=branch_drop,
            activation=layer_from_cfg(act_cfg, 'act_cfg'),
        )
        image = to_tuple(
            pretrain_img_size if img_size is None else img_size, 2, 'img_size'
        )
        stages = []
        for setting, (depth, heads) in zip(settings, depths_and_heads(sizes)):
            window = setting.get('window_size', window_size)
            mixer = partial(
                attention,
                window_size=to_tuple(window, 2, 'window_size'),
                num_heads=heads,
            )
            pads = setting.get('pad_small_map', pad_small_map)
            stages.append(
                StageConfig(
                    mixers=(mixer,) * depth,
                    feedforwards=(mlp,) * depth,
                    shrink=of_mmpretrain and not pads,
                    mask_padding=mask_padding,
                    with_cp=setting.get('with_cp', with_cp),
                    shift_together=of_mmpretrain,
                )
            )
        super().__init__(
            PyramidConfig(
                patch_size=patch,
                in_channels=in_channels,
                embed_dims=sizes['embed_dims'],
                stages=tuple(stages),
                out_indices=tuple(out_indices),
                norm=norm,
                merging=partial(
                    PatchMerging, norm=norm if patch_norm else None
                ),
                patch_norm=patch_norm and has_patch_norm(patch_cfg or {}),
                drop_rate=drop_rate,
                drop_path_rate=drop_path_rate,
                pretrain_grid=(image[0] // patch[0], image[1] // patch[1])
                if use_abs_pos_embed
                else None,
                interpolate_mode=interpolate_mode or 'bicubic',
                out_after_merging=bool(out_after_downsample),
                frozen_stages=frozen_stages,
                frozen_offset=int(of_mmpretrain),
            ),
            init_cfg,
            pretrained,
        )
