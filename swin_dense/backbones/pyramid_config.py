"""Records of the settings that a pyramid is built from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from swin_dense.layers import FeedForward, WindowMixer
from swin_dense.ops.grid import Grid


@dataclass(frozen=True)
class StageConfig:
    """Settings of one stage.

    Attributes:
        mixers: For each block a function that makes its mixer from the number
            of channels.
        feedforwards: For each block a function that makes its feed-forward
            network from the number of channels.
        shrink: If true, windows shrink to small maps, see `fit_window`.
        mask_padding: If true, padding is hidden from real tokens.
        with_cp: If true, the backward pass recomputes the activations of each
            block instead of keeping them.
        shift_together: If true, all axes are shifted or none, see
            `fit_window`.
        shift_small_maps: If false, maps that are not larger than the window
            are not shifted, see `fit_window`.
        mask_unshifted: If true, regular windows have the masks of shifted
            windows, see `SwinStage`.
        repeats: Number of runs of each block with the same weights, see
            `MultiplexedBlock`; None for a `SwinBlock`.
    """

    mixers: tuple[Callable[[int], WindowMixer], ...]
    feedforwards: tuple[Callable[[int], nn.Module], ...]
    shrink: bool = False
    mask_padding: bool = False
    with_cp: bool = False
    shift_together: bool = False
    shift_small_maps: bool = True
    mask_unshifted: bool = False
    repeats: int | None = None


@dataclass(frozen=True)
class PyramidConfig:
    """Settings of a pyramid.

    Attributes:
        patch_size: Patch per axis: (height, width) in pixels for images,
            (frames, height, width) for clips.
        in_channels: Channels of the input.
        embed_dims: Channels C of the first stage; each merging doubles them.
        stages: Settings of each stage.
        out_indices: Stages whose maps are outputs.
        norm: Function that makes a norm from the number of channels.
        merging: Function that makes a merging from the number of channels.
        output_norm: Function that makes the norm of an output from the number
            of channels; None for `norm`.
        patch_norm: If true, the embedding has a norm.
        post_norm: If true, the norm of a branch is its last step, see
            `SwinBlock`.
        branch_norm_init: Weight at which such a norm starts.
        extra_norm_every: Every n-th block of a stage has an extra norm, see
            `SwinBlock`; 0 for none.
        drop_rate: Dropout rate after the embedding.
        drop_path_rate: Stochastic depth rate of the last block; the rate
            rises linearly from 0 at the first block.
        pretrain_grid: Size of the absolute position embedding in tokens per
            axis; None for no such embedding. It is interpolated to the size
            of the map.
        interpolate_mode: Mode of that interpolation, see
            `torch.nn.functional.interpolate`.
        out_after_merging: If true, the output of a stage is its map after the
            merging instead of before.
        frozen_stages: -1 for none; 0 freezes the embedding, k also the first
            k stages and their output norms.
        frozen_offset: Number of stages to freeze in addition, if
            `frozen_stages` is not -1: 1 for a host that counts from 0.
        init_std: Standard deviation of the initial weights of linear layers.

    Raises:
        ValueError: If `out_indices` or `frozen_stages` name stages that do
            not exist, or there is no output.
    """

    patch_size: Grid
    in_channels: int
    embed_dims: int
    stages: tuple[StageConfig, ...]
    out_indices: tuple[int, ...]
    norm: Any
    merging: Callable[[int], nn.Module]
    output_norm: Any = None
    patch_norm: bool = True
    post_norm: bool = False
    branch_norm_init: float = 0.0
    extra_norm_every: int = 0
    drop_rate: float = 0.0
    drop_path_rate: float = 0.1
    pretrain_grid: Grid | None = None
    interpolate_mode: str = 'bicubic'
    out_after_merging: bool = False
    frozen_stages: int = -1
    frozen_offset: int = 0
    init_std: float = 0.02

    def __post_init__(self) -> None:
        count = len(self.stages)
        if sorted(set(self.out_indices)) != list(self.out_indices) or not all(
            0 <= index < count for index in self.out_indices
        ):
            raise ValueError(
                f'out_indices must be rising stage numbers below {count}, '
                f'got {self.out_indices}'
            )
        if not self.out_indices:
            raise ValueError('out_indices names no stage: there is no output')
        last = count - self.frozen_offset
        if not -1 <= self.frozen_stages <= last:
            raise ValueError(
                f'frozen_stages must be between -1 and {last}, '
                f'{"the last stage" if self.frozen_offset else "all stages"}, '
                f'got {self.frozen_stages}'
            )


def feed_forward(
    dim: int,
    mlp_ratio: float,
    drop: float,
    activation: Any,
    fc2_bias: bool = True,
) -> FeedForward:
    """Make a feed-forward network of `mlp_ratio * dim` hidden channels."""
    return FeedForward(dim, int(dim * mlp_ratio), drop, activation, fc2_bias)
