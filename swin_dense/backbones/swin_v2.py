"""Swin Transformer V2 for images."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import nn

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

    Takes the arguments of the class of the same name in mmpretrain: to use
    one of its configs, change `type` alone. Images may have any size. A map
    that is no multiple of the window is padded, and padding is hidden from
    real tokens, since the published weights were trained without padding. On
    an axis where the map is not larger than the window, the window shrinks to
    the map and is not shifted; the position bias is computed for the smaller
    window.

    A config of mmpretrain is recognised by `img_size` or by the default
    scope. The defaults are then those of its class: only the last stage is an
    output, padding is not hidden, and all axes are shifted or none.

    Args:
        arch: `tiny`, `small`, `base`, `large`, `huge`, `giant`, `giant_hub`
            (of the official model hub, 1.06 billion parameters), the first
            letter of one, or a dictionary of `embed_dims`, `depths`,
            `num_heads` and optionally `extra_norm_every_n_blocks`.
        img_size: Image size in pixels that the absolute position embedding
            was made for, 256 by default; unused without one.
        patch_size: Patch in pixels.
        in_channels: Channels of the input.
        window_size: Window in tokens: one number, (height, width), or one of
            these for each stage.
        mlp_ratio: Hidden channels of the feed-forward networks, divided by
            the channels of the stage.
        qkv_bias: If true, queries and values have a bias.
        drop_rate: Dropout rate after the embedding.
        attn_drop_rate: Dropout rate of attention weights.
        drop_path_rate: Stochastic depth rate of the last block.
        out_indices: Stages whose maps are outputs; by default all stages, in
            a config of mmpretrain the last one.
        use_abs_pos_embed: If true, an absolute position embedding is added.
        interpolate_mode: Interpolation of that embedding, `bicubic` or
            `bilinear`.
        with_cp: If true, the backward pass recomputes activations (less
            memory, more time).
        sequential_attention: If true, attention computes a few windows at a
            time, in training too (less memory, more time).
        frozen_stages: -1 for none; k freezes the embedding and stages 0 to k
            with their output norms, as in mmpretrain. (`SwinTransformer`
            counts as mmdet does: there 0 freezes the embedding alone.)
        norm_eval: Kept for mmpretrain's configs; it concerns batch norms,
            and the model has none.
        pad_small_map: If true, maps smaller than the window are padded and
            shifted like others.
        mask_padding: If true, padding is hidden from real tokens. By default
            true, in a config of mmpretrain false.
        norm_cfg: Norm of the outputs, `LN` with its arguments; None for none.
        stage_cfgs: Settings of all stages, or a list of those of each:
            `window_size`, `pretrained_window_size`, `with_cp`,
            `pad_small_map`, also in `block_cfgs`.
        patch_cfg: Settings of the embedding: `norm_cfg`, None for no norm.
        pretrained_window_sizes: Window that the weights were pre-trained
            with, for each stage or one for all; it sets the scale of the
            position bias. 0 means the window in use, as in the official code,
            and is only right at the image size of the pre-training. Set it
            with pretrained weights. A stage whose map was smaller than the
            window was pre-trained with the size of the map: for windows of 16
            and images of 256 pixels, `[16, 16, 16, 8]`.
        init_cfg: `dict(type='Pretrained', checkpoint=...)`, mmengine's
            initialisation of some layers, such as `dict(type='Xavier',
            layer='Linear')`, a list of these, or None.
        branch_norm_init: Initial weight of the norms that end the branches,
            for training from scratch. With 0, as in the official code, all
            branches of a deep model add nothing at first. A small model
            learns sooner from 1, together with larger weights of the linear
            layers, see `init_cfg`.
        logit_scale_init: Initial factor of the cosines, for training from
            scratch; 10 in the official code. With a small factor a token at
            first takes the average of its window, as in V1.
        pretrained: File or address of weights, see `SwinPyramid`.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If a value is out of range, or values contradict each
            other.
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
        pretrained: Pretrained = None,
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
        windows = windows_per_stage(window_size, count, 'window_size')
        trained = windows_per_stage(
            pretrained_window_sizes, count, 'pretrained_window_sizes'
        )
        for index, setting in enumerate(settings):
            if 'window_size' in setting:
                windows[index] = _window(setting['window_size'], 'window_size')
            if 'pretrained_window_size' in setting:
                trained[index] = _window(
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
                pretrained_window_size=trained[index],
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
            pretrained,
        )

    def _frozen(self) -> list[nn.Module | nn.Parameter]:
        """Return the frozen parts, without the last stage's merging."""
        last: Any = self.layers[self.frozen_stages]
        parts: list[Any] = super()._frozen()
        return [last.blocks if part is last else part for part in parts]


def _window(value: IntOrGrid, name: str, rank: int = 2) -> Grid:
    """Return a window, one number per axis; pretrained windows may have 0."""
    if name == 'window_size':
        return to_tuple(value, rank, name)
    sizes = (value,) * rank if isinstance(value, int) else tuple(value)
    checked = to_tuple([size or 1 for size in sizes], rank, name)
    return tuple(size and c for size, c in zip(sizes, checked))


def windows_per_stage(
    value: Windows, count: int, name: str, rank: int = 2
) -> list[Grid]:
    """Return the window of each stage, in tokens per axis.

    Args:
        value: Window of all stages, or a list of the windows of each.
        count: Number of stages.
        name: Name of the argument, for errors; a `window_size` is above 0.
        rank: Number of axes.

    Raises:
        ValueError: If there are windows for another number of stages or axes.
    """
    if not isinstance(value, int):
        if len(value) == count:
            return [_window(window, name, rank) for window in value]
        if len(value) != rank:
            axes = ('(height, width)', '(time, height, width)')[rank - 2]
            raise ValueError(
                f'{name} must be one number, {axes}, or one of these '
                f'for each of the {count} stages, got {value!r}'
            )
    return [_window(value, name, rank)] * count  # type: ignore[arg-type]
