"""Swin-MLP: the pyramid of Swin V1 without attention."""

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
from swin_dense.backbones.pyramid_config import (
    PyramidConfig,
    StageConfig,
    feed_forward,
)
from swin_dense.layers import PatchMerging, SpatialMLP
from swin_dense.ops import to_tuple
from swin_dense.ops.grid import IntOrGrid
from swin_dense.registry import MODELS
from swin_dense.sizes import SWIN_MLP

# Window of the sizes that have no `window_size`.
_WINDOW = 8


@MODELS.register_module()
class SwinMLP(SwinPyramid):
    """Swin-MLP backbone (official code of arXiv 2103.14030).

    In each block, linear layers over the tokens of a window take the place of
    attention, see `SpatialMLP`. The official code is a classifier of images
    of one size. Here images have any size: the map is padded with zeros to
    whole windows after the norm, and shifted windows are padded further. On
    maps of whole windows the results are those of the official code. As
    there, maps that are not larger than the window are not shifted; but the
    window stays as it is, because the weights are for one window.

    Args:
        arch: `tiny_c24`, `tiny_c12`, `tiny_c6` (by the channels of a head) or
            `base`, or a dictionary of `embed_dims`, `depths`, `num_heads`,
            and optionally `window_size`.
        in_channels: Channels of the input.
        patch_size: Patch in pixels.
        window_size: Window in tokens, one number or (height, width); by
            default that of `arch`: 7 for `base`, else 8. Weights cannot be
            transferred to another window.
        mlp_ratio: Hidden channels of the feed-forward networks, divided by
            the channels of the stage.
        out_indices: Stages whose maps are outputs; by default all.
        patch_norm: If true, embedding and mergings have a norm.
        drop_rate: Dropout rate.
        drop_path_rate: Stochastic depth rate of the last block.
        use_abs_pos_embed: If true, an absolute position embedding is added.
        pretrain_img_size: Image size in pixels that the absolute position
            embedding was made for; unused without one.
        act_cfg: Activation, a class of `torch.nn`.
        norm_cfg: Norm, `LN` with its arguments.
        with_cp: If true, the backward pass recomputes activations (less
            memory, more time).
        pretrained: File or address of weights, see `SwinPyramid`.
        frozen_stages: -1 for none; 0 freezes the embedding, k also the first
            k stages.
        init_cfg: `dict(type='Pretrained', checkpoint=...)`, mmengine's
            initialisation of some layers, a list of these, or None.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If a value is out of range, or values contradict each
            other.
    """

    def __init__(
        self,
        arch: Arch = 'tiny_c24',
        in_channels: int = 3,
        patch_size: IntOrGrid = 4,
        window_size: IntOrGrid | None = None,
        mlp_ratio: float = 4.0,
        out_indices: Sequence[int] | None = None,
        patch_norm: bool = True,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        use_abs_pos_embed: bool = False,
        pretrain_img_size: IntOrGrid = 224,
        act_cfg: dict = dict(type='GELU'),  # noqa: B006, B008
        norm_cfg: dict = dict(type='LN'),  # noqa: B006, B008
        with_cp: bool = False,
        pretrained: Pretrained = None,
        frozen_stages: int = -1,
        init_cfg: InitCfg = None,
        **unknown: Any,
    ) -> None:
        reject_unknown(type(self), unknown)
        sizes = arch_sizes(arch, SWIN_MLP)
        if window_size is None:
            window_size = sizes.get('window_size', _WINDOW)
        norm = layer_from_cfg(norm_cfg, 'norm_cfg')
        mixer = partial(
            SpatialMLP, window_size=to_tuple(window_size, 2, 'window_size')
        )
        mlp = partial(
            feed_forward,
            mlp_ratio=mlp_ratio,
            drop=drop_rate,
            activation=layer_from_cfg(act_cfg, 'act_cfg'),
        )
        stages = [
            StageConfig(
                mixers=(partial(mixer, num_heads=heads),) * depth,
                feedforwards=(mlp,) * depth,
                with_cp=with_cp,
                shift_small_maps=False,
            )
            for depth, heads in depths_and_heads(sizes)
        ]
        if out_indices is None:
            out_indices = range(len(stages))
        patch = to_tuple(patch_size, 2, 'patch_size')
        image = to_tuple(pretrain_img_size, 2, 'pretrain_img_size')
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
                patch_norm=patch_norm,
                drop_rate=drop_rate,
                drop_path_rate=drop_path_rate,
                pretrain_grid=(image[0] // patch[0], image[1] // patch[1])
                if use_abs_pos_embed
                else None,
                frozen_stages=frozen_stages,
            ),
            init_cfg,
            pretrained,
        )
