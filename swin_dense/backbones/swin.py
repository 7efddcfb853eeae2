"""Swin Transformer V1 for images."""
from functools import partial
from typing import Any, Optional, Sequence

from swin_dense.backbones.base import SwinPyramid
from swin_dense.backbones.host_arguments import (Arch, InitCfg, arch_sizes,
                                                 depths_and_heads,
                                                 layer_from_cfg,
                                                 pretrained_cfg,
                                                 reject_unknown)
from swin_dense.backbones.pyramid_config import (PyramidConfig, StageConfig,
                                                 feed_forward)
from swin_dense.layers import PatchMerging, WindowAttention
from swin_dense.ops import to_tuple
from swin_dense.ops.grid import IntOrGrid
from swin_dense.registry import MODELS
from swin_dense.sizes import SWIN


@MODELS.register_module()
class SwinTransformer(SwinPyramid):
    """Swin Transformer backbone (arXiv 2103.14030) with feature pyramid.

    Takes the arguments of the classes of the same name in mmdet and mmseg, so
    a config of theirs works by changing `type` alone. Numerics are those of
    the official detection and segmentation code: padding comes after the
    norm, takes part in attention, and windows larger than the map are padded.

    Args:
        arch: `tiny`, `small`, `base`, `large` or their first letter, or a
            dictionary of `embed_dims`, `depths` and `num_heads`, each of
            which may still be given. Swin-T where neither is given.
        pretrain_img_size: Image size in pixels that the absolute position
            embedding was made for; unused without one.
        in_channels: Channels of the input.
        embed_dims: Channels of the first stage.
        patch_size: Patch in pixels.
        window_size: Window in tokens, one number or (height, width).
        mlp_ratio: Hidden channels of the feed-forward networks, over those
            of the stage.
        depths: Blocks of each stage.
        num_heads: Attention heads of each stage.
        strides: Kept for the hosts' configs: patch size, then 2 for each
            merging; nothing else exists in the family.
        out_indices: Stages whose maps are put out.
        qkv_bias: Whether queries, keys and values have a bias.
        qk_scale: Factor of the dot products; one over the square root of the
            head's channels where None.
        patch_norm: Whether embedding and merging have a norm.
        drop_rate: Dropout rate.
        attn_drop_rate: Dropout rate of attention weights.
        drop_path_rate: Stochastic depth rate of the last block.
        use_abs_pos_embed: Whether to add an absolute position embedding.
        act_cfg: Activation, a class of `torch.nn`.
        norm_cfg: Norm, `LN` with its arguments.
        with_cp: Whether activations are recomputed in the backward pass
            (less memory, more time).
        sequential_attention: Whether windows are worked on a few at a time,
            in training too (less memory, more time).
        pretrained: Old spelling of `init_cfg`: the file or address.
        convert_weights: Kept for the hosts' configs; the format of a
            checkpoint is always recognised.
        frozen_stages: -1 for none; 0 freezes the embedding, k also the first
            k stages.
        mask_padding: Whether padding is hidden from real tokens. The
            official weights were trained without.
        init_cfg: `dict(type='Pretrained', checkpoint=...)`, mmengine's
            initialisation of some layers, a list of these, or None.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If a value is out of range, or values do not agree.
    """

    def __init__(
            self,
            arch: Optional[Arch] = None,
            pretrain_img_size: IntOrGrid = 224,
            in_channels: int = 3,
            embed_dims: Optional[int] = None,
            patch_size: IntOrGrid = 4,
            window_size: IntOrGrid = 7,
            mlp_ratio: float = 4,
            depths: Optional[Sequence[int]] = None,
            num_heads: Optional[Sequence[int]] = None,
            strides: Optional[Sequence[int]] = None,
            out_indices: Sequence[int] = (0, 1, 2, 3),
            qkv_bias: bool = True,
            qk_scale: Optional[float] = None,
            patch_norm: bool = True,
            drop_rate: float = 0.,
            attn_drop_rate: float = 0.,
            drop_path_rate: float = 0.1,
            use_abs_pos_embed: bool = False,
            act_cfg: dict = dict(type='GELU'),  # noqa: B006, B008
            norm_cfg: dict = dict(type='LN'),  # noqa: B006, B008
            with_cp: bool = False,
            sequential_attention: bool = False,
            pretrained: Optional[str] = None,
            convert_weights: bool = False,
            frozen_stages: int = -1,
            mask_padding: bool = False,
            init_cfg: InitCfg = None,
            **unknown: Any) -> None:
        reject_unknown(type(self), unknown)
        sizes = arch_sizes(arch or 'tiny', SWIN)
        changes = dict(
            embed_dims=embed_dims, depths=depths, num_heads=num_heads)
        sizes.update({k: v for k, v in changes.items() if v is not None})
        patch = to_tuple(patch_size, 2, 'patch_size')
        merging = (2, ) * (len(sizes['depths']) - 1)
        if strides is not None and tuple(strides) != (patch[0], *merging):
            raise ValueError(
                f'strides must be the patch size and 2 for each merging, '
                f'{(patch[0], *merging)}, got {tuple(strides)}')
        init_cfg = pretrained_cfg(pretrained, init_cfg)
        norm = layer_from_cfg(norm_cfg, 'norm_cfg')
        attention = partial(
            WindowAttention,
            window_size=to_tuple(window_size, 2, 'window_size'),
            qkv_bias=qkv_bias,
            qk_scale=qk_scale,
            attn_drop=attn_drop_rate,
            proj_drop=drop_rate,
            sequential=sequential_attention)
        mlp = partial(
            feed_forward,
            mlp_ratio=mlp_ratio,
            drop=drop_rate,
            activation=layer_from_cfg(act_cfg, 'act_cfg'))
        image = to_tuple(pretrain_img_size, 2, 'pretrain_img_size')
        super().__init__(
            PyramidConfig(
                patch_size=patch,
                in_channels=in_channels,
                embed_dims=sizes['embed_dims'],
                stages=tuple(
                    StageConfig(
                        mixers=(partial(attention, num_heads=heads), ) * depth,
                        feedforwards=(mlp, ) * depth,
                        mask_padding=mask_padding,
                        with_cp=with_cp)
                    for depth, heads in depths_and_heads(sizes)),
                out_indices=tuple(out_indices),
                norm=norm,
                merging=partial(
                    PatchMerging, norm=norm if patch_norm else None),
                patch_norm=patch_norm,
                drop_rate=drop_rate,
                drop_path_rate=drop_path_rate,
                pretrain_grid=(image[0] // patch[0], image[1] //
                               patch[1]) if use_abs_pos_embed else None,
                frozen_stages=frozen_stages), init_cfg)
