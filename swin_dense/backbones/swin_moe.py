"""Swin-MoE: Swin with experts in some of its blocks."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import torch
from mmengine.logging import MMLogger
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
from swin_dense.layers import (
    CosineRouter,
    ExpertFeedForward,
    Experts,
    LinearRouter,
    LogBiasAttention,
    PatchMerging,
)
from swin_dense.ops import to_tuple
from swin_dense.ops.grid import IntOrGrid
from swin_dense.registry import MODELS
from swin_dense.sizes import SWIN_MOE


@MODELS.register_module()
class SwinMoE(SwinPyramid):
    """Swin-MoE backbone (official code, Tutel) with feature pyramid.

    In some blocks, experts take the place of the feed-forward network: a
    router sends each token to one or a few of them, see `Router`. Blocks and
    mergings are those of Swin V1, but the log-MLP of V2 computes the position
    bias, see `LogBiasAttention`. The official code is a classifier of images
    of one size. Here images have any size, by the rules of
    `SwinTransformerV2`: padding is hidden from real tokens, and windows shrink
    to small maps.

    In training, the router adds a loss for a balanced use of the experts. Its
    sum over all blocks, times `aux_loss_weight`, has to be added to the loss
    of the model. `DenseRunner` does this; with other runners of mmengine use
    `AuxiliaryLossHook`, and in a training loop without mmengine call
    `take_auxiliary_loss`.

    In training, experts take a limited number of tokens, as in the official
    code. So what becomes of a token depends on all images of the batch, of
    which each process has its own. In evaluation there is no limit by
    default: the output for an image does not depend on other images.

    Arguments that the official code has are named as there.

    Args:
        arch: `small`, `base` or their first letter, or a dictionary of
            `embed_dims`, `depths` and `num_heads`.
        num_experts: Experts of a block; 0 for the dense baseline, which has
            none. Published weights have 8, 16 or 32.
        moe_blocks: Blocks with experts, a list for each stage; by default
            every second block of the last two stages, as in all published
            models.
        in_channels: Channels of the input.
        patch_size: Patch in pixels.
        window_size: Window in tokens: one number, (height, width), or one of
            these for each stage.
        mlp_ratio: Hidden channels of the feed-forward networks and experts,
            divided by the channels of the stage.
        out_indices: Stages whose maps are outputs; by default all.
        qkv_bias: If true, queries, keys and values have a bias.
        qk_scale: Factor of the dot products; None for one over the square
            root of the channels of a head.
        patch_norm: If true, embedding and mergings have a norm.
        drop_rate: Dropout rate, without that of experts.
        attn_drop_rate: Dropout rate of attention weights.
        drop_path_rate: Stochastic depth rate of the last block.
        mlp_fc2_bias: If true, the second layers of feed-forward networks and
            experts have a bias.
        top_value: Experts for each token.
        capacity_factor: Limit of the tokens of an expert in training, see
            `Router`; 0 for none.
        eval_capacity_factor: Limit in evaluation; 1.25 is that of the
            official code.
        cosine_router: If true, the router computes cosines.
        cosine_router_dim: Channels of its projection.
        cosine_router_init_t: One over its initial factor of the cosines.
        normalize_gate: See `Router`.
        use_bpr: See `Router`.
        is_gshard_loss: See `Router`.
        gate_noise: See `Router`.
        moe_drop: Dropout rate inside of experts.
        aux_loss_weight: Factor of the loss of the routers.
        act_cfg: Activation of the feed-forward networks, a class of
            `torch.nn`. Experts have GELU.
        norm_cfg: Norm, `LN` with its arguments.
        with_cp: If true, the backward pass recomputes activations (less
            memory, more time).
        mask_padding: If true, padding is hidden from real tokens.
        pretrained_window_sizes: See `SwinTransformerV2`.
        pretrained: File or address of weights, see `SwinPyramid`.
        frozen_stages: -1 for none; 0 freezes the embedding, k also the first
            k stages.
        init_std: Standard deviation of the initial weights of linear layers
            and experts; by default 0.005 with experts and 0.02 without, as
            in the official configs.
        init_cfg: `dict(type='Pretrained', checkpoint=...)`, mmengine's
            initialisation of some layers, a list of these, or None.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If a value is out of range, or values contradict each
            other.
    """

    def __init__(
        self,
        arch: Arch = 'small',
        num_experts: int = 8,
        moe_blocks: Sequence[Sequence[int]] | None = None,
        in_channels: int = 3,
        patch_size: IntOrGrid = 4,
        window_size: Windows = 12,
        mlp_ratio: float = 4.0,
        out_indices: Sequence[int] | None = None,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        patch_norm: bool = True,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.2,
        mlp_fc2_bias: bool = False,
        top_value: int = 1,
        capacity_factor: float = 1.25,
        eval_capacity_factor: float = 0.0,
        cosine_router: bool = False,
        cosine_router_dim: int = 256,
        cosine_router_init_t: float = 0.5,
        normalize_gate: bool = False,
        use_bpr: bool = True,
        is_gshard_loss: bool = False,
        gate_noise: float = 1.0,
        moe_drop: float = 0.1,
        aux_loss_weight: float = 0.01,
        act_cfg: dict = dict(type='GELU'),  # noqa: B006, B008
        norm_cfg: dict = dict(type='LN'),  # noqa: B006, B008
        with_cp: bool = False,
        mask_padding: bool = True,
        pretrained_window_sizes: Windows = 0,
        pretrained: Pretrained = None,
        frozen_stages: int = -1,
        init_std: float | None = None,
        init_cfg: InitCfg = None,
        **unknown: Any,
    ) -> None:
        reject_unknown(type(self), unknown)
        sizes = arch_sizes(arch, SWIN_MOE)
        depths = sizes['depths']
        places = _expert_blocks(moe_blocks, depths, num_experts)
        if init_std is None:
            init_std = 0.005 if num_experts else 0.02
        norm = layer_from_cfg(norm_cfg, 'norm_cfg')
        attention = partial(
            LogBiasAttention,
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
            fc2_bias=mlp_fc2_bias,
        )
        router: Any = LinearRouter
        if cosine_router:
            router = partial(
                CosineRouter,
                projection_dim=cosine_router_dim,
                init_temperature=cosine_router_init_t,
            )
        experts = partial(
            _expert_feed_forward,
            num_experts=num_experts,
            mlp_ratio=mlp_ratio,
            router=partial(
                router,
                top_value=top_value,
                capacity_factor=capacity_factor,
                eval_capacity_factor=eval_capacity_factor,
                normalize_gate=normalize_gate,
                use_bpr=use_bpr,
                is_gshard_loss=is_gshard_loss,
                gate_noise=gate_noise,
            ),
            experts=partial(
                Experts,
                drop=moe_drop,
                fc2_bias=mlp_fc2_bias,
                init_std=init_std,
            ),
        )
        windows = windows_per_stage(window_size, len(depths), 'window_size')
        units = windows_per_stage(
            pretrained_window_sizes, len(depths), 'pretrained_window_sizes'
        )
        stages = [
            StageConfig(
                mixers=(
                    partial(
                        attention,
                        window_size=window,
                        num_heads=heads,
                        pretrained_window_size=unit,
                    ),
                )
                * depth,
                feedforwards=tuple(
                    experts if block in blocks else mlp
                    for block in range(depth)
                ),
                shrink=True,
                mask_padding=mask_padding,
                with_cp=with_cp,
            )
            for (depth, heads), window, unit, blocks in zip(
                depths_and_heads(sizes), windows, units, places
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
                init_std=init_std,
            ),
            init_cfg,
            pretrained,
        )
        self.aux_loss_weight = aux_loss_weight
        self._losses: list[Tensor] = []
        self._has_taker = False  # True after `take_auxiliary_loss`

    @property
    def expert_layers(self) -> list[ExpertFeedForward]:
        """Return the feed-forward networks that consist of experts."""
        return [m for m in self.modules() if isinstance(m, ExpertFeedForward)]

    def forward_stages(
        self,
        x: Tensor,
        before_stage: Callable[[int, Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, ...]:
        """Compute the pyramid, and in training keep the auxiliary loss.

        Args:
            x: Map `(B, *grid, C)` that `embed_patches` returned.
            before_stage: See `SwinPyramid.forward_stages`.

        Returns:
            See `SwinPyramid.forward`.
        """
        layers = self.expert_layers
        losses: list[Tensor] = []
        for layer in layers:
            layer.losses = losses
        try:
            outputs = super().forward_stages(x, before_stage)
        finally:
            for layer in layers:
                layer.losses = None
        if losses:
            if self._losses and not self._has_taker:
                self._losses = []  # of a graph that nobody needs any more
                _warn_untaken()
            self._losses.append(
                self.aux_loss_weight * torch.stack(losses).sum()
            )
        return outputs


def take_auxiliary_loss(model: nn.Module) -> Tensor | None:
    """Return the auxiliary loss of a model, and forget it.

    Call this once for each step, after the forward pass, and add the loss to
    that of the model.

    Args:
        model: A `SwinMoE`, or a model that contains some.

    Returns:
        The loss of all forward passes in training since the last call; None
        if there were none, or the model has no experts.
    """
    total = None
    for module in model.modules():
        if not isinstance(module, SwinMoE):
            continue
        module._has_taker = True
        if module._losses:
            loss = torch.stack(module._losses).sum()
            total = loss if total is None else total + loss
            module._losses = []
    return total


@cache
def _warn_untaken() -> None:
    MMLogger.get_current_instance().warning(
        'SwinMoE: the auxiliary loss of the experts is not used, so the '
        'router may come to prefer a few of them. DenseRunner adds it to the '
        "losses; with another runner set custom_hooks=[dict(type='swin_dense."
        "AuxiliaryLossHook')], and in a training loop without one add "
        'take_auxiliary_loss(model) to the loss'
    )


def _expert_blocks(
    moe_blocks: Sequence[Sequence[int]] | None,
    depths: Sequence[int],
    num_experts: int,
) -> Sequence[Sequence[int]]:
    """Return the numbers of the blocks with experts, for each stage.

    Raises:
        ValueError: If there are blocks that do not exist, or blocks but no
            experts, or lists for another number of stages.
    """
    if moe_blocks is None:
        first = len(depths) - 2 if num_experts else len(depths)
        return [
            range(1, depth, 2) if stage >= first else ()
            for stage, depth in enumerate(depths)
        ]
    # The official configs write [-1] for a stage without experts.
    places = [[b for b in blocks if b != -1] for blocks in moe_blocks]
    if len(places) != len(depths) or any(
        not 0 <= block < depth
        for blocks, depth in zip(places, depths)
        for block in blocks
    ):
        raise ValueError(
            'moe_blocks needs a list for each stage, of block numbers from 0 '
            f'that are below its depth, got {moe_blocks!r} for {depths=}'
        )
    if any(places) and not num_experts:
        raise ValueError(
            f'{num_experts=} is for a model without experts, got {moe_blocks=}'
        )
    return places


def _expert_feed_forward(
    dim: int, num_experts: int, mlp_ratio: float, router: Any, experts: Any
) -> ExpertFeedForward:
    """Make a feed-forward network of experts for `dim` channels."""
    return ExpertFeedForward(
        router(dim, num_experts),
        experts(num_experts, dim, int(dim * mlp_ratio)),
    )
