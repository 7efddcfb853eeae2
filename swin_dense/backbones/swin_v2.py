"""Swin Transformer V2 for images."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import nn

from swin_dense.backbones.base import SwinPyramid
from swin_dense.backbones.host_arguments import (
    Arch,
    InitCfg,
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
from swin_dense.layers import CosineAttention, PatchMerging
from swin_dense.ops import to_tuple
from swin_dense.ops.grid import Grid, IntOrGrid
from swin_dense.registry import MODELS
from swin_dense.sizes import SWIN_V2

# One window for all stages, or one for each.
Windows = IntOrGrid | Sequence[IntOrGrid]

# Settings of single stages that `stage_cfgs` may have.
STAGE_SETTINGS = (
    'window_size',
    'pretrained_window_size',
    'with_cp',
    'pad_small_map',
)


@MODELS.register_module()
class SwinTransformerV2(SwinPyramid):
    """Swin Transformer V2 backbone (arXiv 2111.09883) with feature pyramid.

    Takes the arguments of the class of the same name in mmpretrain, so a
    config of its works by changing `type` alone, and images of any size.
    Where the map is no multiple of the window it is padded, and padding is
    hidden from real tokens: the published weights were trained without any. A
    window shrinks to a map that is not larger, axis by axis, that axis is not
    shifted, and the position bias is evaluated for the smaller window.

    In a config of mmpretrain, told by `img_size` or by the default scope,
    what is not given is as in its class: the last stage alone is put out,
    padding is seen, and where one axis is not shifted, none is.

    Args:
        arch: `tiny`, `small`, `base`, `large`, `huge`, `giant` or their first
            letter, or a dictionary of `embed_dims`, `depths`, `num_heads` and
            perhaps `extra_norm_every_n_blocks`.
        img_size: Image size in pixels that the absolute position embedding
            was made for, 256 by default; unused without one.
        patch_size: Patch in pixels.
        in_channels: Channels of the input.
        window_size: Window in tokens: one number, (height, width), or one of
            these for each stage.
        mlp_ratio: Hidden channels of the feed-forward networks, over those
            of the stage.
        qkv_bias: Whether queries and values have a bias.
        drop_rate: Dropout rate after the embedding.
        attn_drop_rate: Dropout rate of attention weights.
        drop_path_rate: Stochastic depth rate of the last block.
        out_indices: Stages whose maps are put out; by default all, in a
            config of mmpretrain the last.
        use_abs_pos_embed: Whether to add an absolute position embedding.
        interpolate_mode: How it is resized, `bicubic` or `bilinear`.
        with_cp: Whether activations are recomputed in the backward pass
            (less memory, more time).
        sequential_attention: Whether windows are worked on a few at a time,
            in training too (less memory, more time).
        frozen_stages: -1 for none; k freezes the embedding and stages 0 to k
            with their output norms, as in mmpretrain. (`SwinTransformer`
            counts as mmdet does: there 0 freezes the embedding alone.)
        norm_eval: Kept for the host's configs; concerns batch norms, and
            there are none.
        pad_small_map: Whether maps smaller than the window are padded and
            shifted like others.
        mask_padding: Whether padding is hidden from real tokens; by default
            it is, but not in a config of mmpretrain.
        norm_cfg: Norm of the outputs, `LN` with its arguments; None for none.
        stage_cfgs: Settings of all stages, or of each: `window_size`,
            `pretrained_window_size`, `with_cp`, `pad_small_map`.
        patch_cfg: Settings of the embedding: `norm_cfg`, None for no norm.
        pretrained_window_sizes: Window of each stage that the weights were
            trained with, or one for all; it sets the scale of the position
            bias. 0 for the window in use, be it shrunk, as in the official
            code: right where maps have the size of the training. Give it
            with pretrained weights: where a window had shrunk to the map
            in pre-training, which it had in the last stage of weights with
            windows of 16 for images of 256, its size was that of the map, 8.
        init_cfg: `dict(type='Pretrained', checkpoint=...)`, mmengine's
            initialisation of some layers, such as `dict(type='Xavier',
            layer='Linear')`, a list of these, or None.
        branch_norm_init: Weight at which the norms that end the branches
            start in training from scratch. From 0, as in the official code, a
            deep model starts as its main branch alone. A small one learns
            sooner from 1, with larger weights of the linear layers by
            `init_cfg`.
        logit_scale_init: Factor of the cosines at which attention starts in
            training from scratch; 10 in the official code. From a small one
            a token at first takes the average of its window, as in V1.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If a value is out of range, or values do not agree.
    """

    def __init__(
        self,
        arch: Arch = 'tiny',
        img_size: IntOrGrid | None = None,
        patch_size: IntOrGrid = 4,
        in_channels: int = 3,
        window_size: Windows = 8,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        out_indices: Sequence[int] | None = None,
        use_abs_pos_embed: bool = False,
        interpolate_mode: str = 'bicubic',
        with_cp: bool = False,
        sequential_attention: bool = False,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        pad_small_map: bool = False,
        mask_padding: bool | None = None,
        norm_cfg: dict | None = dict(type='LN'),  # noqa: B006, B008
        stage_cfgs: dict | Sequence[dict] = (),
        patch_cfg: dict | None = None,
        pretrained_window_sizes: Windows = 0,
        init_cfg: InitCfg = None,
        branch_norm_init: float = 0.0,
        logit_scale_init: float = 10.0,
        **unknown: Any,
    ) -> None:
        reject_unknown(type(self), unknown)
        sizes = arch_sizes(arch, SWIN_V2)
        count = len(sizes['depths'])
        of_mmpretrain = is_of_mmpretrain(img_size)
        if out_indices is None:
            out_indices = (count - 1,) if of_mmpretrain else range(count)
        if mask_padding is None:
            mask_padding = not of_mmpretrain
        if interpolate_mode not in ('bicubic', 'bilinear'):
            raise ValueError(
                "interpolate_mode must be 'bicubic' or "
                f"'bilinear', got {interpolate_mode!r}"
            )
        settings = stage_settings(stage_cfgs, count, STAGE_SETTINGS)
        windows = _windows(window_size, count, 'window_size')
        pretrained = _windows(
            pretrained_window_sizes, count, 'pretrained_window_sizes'
        )
        for index, setting in enumerate(settings):
            if 'window_size' in setting:
                windows[index] = _window(setting['window_size'], 'window_size')
            if 'pretrained_window_size' in setting:
                pretrained[index] = _window(
                    setting['pretrained_window_size'], 'pretrained_window_size'
                )
        patch = to_tuple(patch_size, 2, 'patch_size')
        image = to_tuple(256 if img_size is None else img_size, 2, 'img_size')
        mlp = partial(
            feed_forward, mlp_ratio=mlp_ratio, drop=0.0, activation=nn.GELU
        )
        stages = []
        for index, (depth, heads) in enumerate(depths_and_heads(sizes)):
            attention = partial(
                CosineAttention,
                window_size=windows[index],
                num_heads=heads,
                qkv_bias=qkv_bias,
                attn_drop=attn_drop_rate,
                sequential=sequential_attention,
                pretrained_window_size=pretrained[index],
                logit_scale_init=logit_scale_init,
            )
            setting = settings[index]
            stages.append(
                StageConfig(
                    mixers=(attention,) * depth,
                    feedforwards=(mlp,) * depth,
                    shrink=not setting.get('pad_small_map', pad_small_map),
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
                norm=nn.LayerNorm,
                merging=partial(PatchMerging, post_norm=True),
                output_norm=layer_from_cfg(norm_cfg, 'norm_cfg')
                if norm_cfg
                else nn.Identity,
                patch_norm=has_patch_norm(patch_cfg or {}),
                post_norm=True,
                branch_norm_init=branch_norm_init,
                extra_norm_every=sizes.get('extra_norm_every_n_blocks', 0),
                drop_rate=drop_rate,
                drop_path_rate=drop_path_rate,
                pretrain_grid=tuple(-(-s // p) for s, p in zip(image, patch))
                if use_abs_pos_embed
                else None,
                interpolate_mode=interpolate_mode,
                frozen_stages=frozen_stages,
                frozen_offset=1,
            ),
            init_cfg,
        )

    def _frozen(self) -> list[nn.Module | nn.Parameter]:
        """Return what is frozen; the merging of the last stage is not."""
        last = self.layers[self.frozen_stages]
        return [
            last.blocks if part is last else part for part in super()._frozen()
        ]


def _window(value: IntOrGrid, name: str) -> Grid:
    """Height and width; a pretrained window may be 0."""
    if name != 'window_size' and value in (0, (0, 0), [0, 0]):
        return 0, 0
    return to_tuple(value, 2, name)


def _windows(value: Windows, count: int, name: str) -> list[Grid]:
    """The window of each stage."""
    if not isinstance(value, int):
        if len(value) == count:
            return [_window(one, name) for one in value]
        if len(value) != 2:
            raise ValueError(
                f'{name} must be one number, (height, width), or one of these '
                f'for each of the {count} stages, got {value!r}'
            )
    return [_window(value, name)] * count  # type: ignore[arg-type]
