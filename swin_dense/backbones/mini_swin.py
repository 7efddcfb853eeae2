"""Mini-Swin: Swin V1 whose blocks are run several times."""

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
from swin_dense.layers import HeadMixingAttention, PatchMerging
from swin_dense.ops import to_tuple
from swin_dense.ops.grid import IntOrGrid
from swin_dense.registry import MODELS
from swin_dense.sizes import MINI_SWIN


@MODELS.register_module()
class MiniSwin(SwinPyramid):
    """Mini-Swin backbone (MiniViT, arXiv 2204.07154) with feature pyramid.

    Each block is run several times with the same weights of attention and
    feed-forward network, see `MultiplexedBlock`. The official code is a
    classifier of images of one size. Here images have any size, by the rules
    of `SwinTransformer`: padding comes after the norm and takes part in
    attention. As in the official code, maps that are not larger than the
    window are not shifted.

    Args:
        arch: `tiny`, `small`, `base` or their first letter, or a dictionary
            of `embed_dims`, `depths`, `num_heads` and `blocks`, the blocks of
            each stage that have weights; `depths` counts their runs.
        in_channels: Channels of the input.
        patch_size: Patch in pixels.
        window_size: Window in tokens, one number or (height, width).
        mlp_ratio: Hidden channels of the feed-forward networks, divided by
            the channels of the stage.
        out_indices: Stages whose maps are outputs; by default all.
        qkv_bias: If true, queries, keys and values have a bias.
        qk_scale: Factor of the dot products; None for one over the square
            root of the channels of a head.
        patch_norm: If true, embedding and mergings have a norm.
        drop_rate: Dropout rate.
        attn_drop_rate: Dropout rate of attention weights.
        drop_path_rate: Stochastic depth rate of the last run.
        act_cfg: Activation, a class of `torch.nn`.
        norm_cfg: Norm, `LN` with its arguments.
        with_cp: If true, the backward pass recomputes activations (less
            memory, more time).
        pretrained: File or address of weights, see `SwinPyramid`.
        frozen_stages: -1 for none; 0 freezes the embedding, k also the first
            k stages.
        mask_unshifted: If true, the masks of shifted windows are added in
            unshifted runs, too. The official code does so, and its weights
            were trained with it; false is right for training from scratch.
        init_cfg: `dict(type='Pretrained', checkpoint=...)`, mmengine's
            initialisation of some layers, a list of these, or None.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If a value is out of range, or values contradict each
            other.
    """

    def __init__(
        self,
        arch: Arch = 'tiny',
        in_channels: int = 3,
        patch_size: IntOrGrid = 4,
        window_size: IntOrGrid = 7,
        mlp_ratio: float = 4.0,
        out_indices: Sequence[int] | None = None,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        patch_norm: bool = True,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        act_cfg: dict = dict(type='GELU'),  # noqa: B006, B008
        norm_cfg: dict = dict(type='LN'),  # noqa: B006, B008
        with_cp: bool = False,
        pretrained: Pretrained = None,
        frozen_stages: int = -1,
        mask_unshifted: bool = True,
        init_cfg: InitCfg = None,
        **unknown: Any,
    ) -> None:
        reject_unknown(type(self), unknown)
        sizes = arch_sizes(arch, MINI_SWIN)
        norm = layer_from_cfg(norm_cfg, 'norm_cfg')
        attention = partial(
            HeadMixingAttention,
            window_size=to_tuple(window_size, 2, 'window_size'),
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
        stages = [
            StageConfig(
                mixers=(partial(attention, num_heads=heads),) * blocks,
                feedforwards=(mlp,) * blocks,
                with_cp=with_cp,
                shift_small_maps=False,
                mask_unshifted=mask_unshifted,
                repeats=depth // blocks,
            )
            for blocks, (depth, heads) in zip(
                _check_blocks(sizes), depths_and_heads(sizes)
            )
        ]
        if out_indices is None:
            out_indices = range(len(stages))
        super().__init__(
            PyramidConfig(
                patch_size=to_tuple(patch_size, 2, 'patch_size'),
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
                frozen_stages=frozen_stages,
            ),
            init_cfg,
            pretrained,
        )


def _check_blocks(sizes: dict[str, Any]) -> Sequence[int]:
    """Return the blocks of each stage.

    Raises:
        ValueError: If a depth is not a multiple of the blocks of its stage.
    """
    depths, blocks = sizes['depths'], sizes['blocks']
    if len(depths) != len(blocks) or any(
        block < 1 or depth % block for depth, block in zip(depths, blocks)
    ):
        raise ValueError(
            'depths counts the runs of the blocks: it needs a multiple of '
            f'blocks for each stage, got {depths=} and {blocks=}'
        )
    return blocks
