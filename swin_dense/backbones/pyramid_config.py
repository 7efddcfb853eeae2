"""What a pyramid is built from."""

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
        mixers: For each block what makes its mixer from the channels.
        feedforwards: For each block what makes its feed-forward network from
            the channels.
        shrink: Whether windows shrink to small maps, see `fit_window`.
        mask_padding: Whether padding is hidden from real tokens.
        with_cp: Whether the activations of a block are recomputed in the
            backward pass instead of kept.
        shift_together: Whether axes are shifted all or none, see
            `fit_window`.
    """

    mixers: tuple[Callable[[int], WindowMixer], ...]
    feedforwards: tuple[Callable[[int], nn.Module], ...]
    shrink: bool = False
    mask_padding: bool = False
    with_cp: bool = False
    shift_together: bool = False


@dataclass(frozen=True)
class PyramidConfig:
    """Settings of a pyramid.

    Attributes:
        patch_size: Patch per axis; its length is the number of axes.
        in_channels: Channels of the input.
        embed_dims: Channels C of the first stage; doubled by each merging.
        stages: Settings of each stage.
        out_indices: Stages whose maps are put out.
        norm: Makes the norm for a number of channels.
        merging: Makes the merging for a number of channels.
        output_norm: Makes the norm of an output; `norm` where None.
        patch_norm: Whether the embedding has a norm.
        post_norm: Whether the norm of a branch is its last step, see
            `SwinBlock`.
        branch_norm_init: Weight at which such a norm starts.
        extra_norm_every: Every so many blocks of a stage one has an extra
            norm, see `SwinBlock`; 0 for none.
        drop_rate: Dropout after the embedding.
        drop_path_rate: Stochastic depth rate of the last block; rises
            linearly from 0 at the first.
        pretrain_grid: Size of the absolute position embedding in tokens per
            axis; None for no such embedding. It is interpolated to other
            sizes.
        interpolate_mode: How, as in `torch.nn.functional.interpolate`.
        out_after_merging: Whether the map of a stage is put out after its
            merging instead of before.
        frozen_stages: -1 for none; 0 freezes the embedding, k also the first
            k stages and their output norms.
        frozen_offset: How many stages more: 1 where a host counts from 0.

    Raises:
        ValueError: If numbers of stages do not agree.
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

    def __post_init__(self) -> None:
        count = len(self.stages)
        if sorted(set(self.out_indices)) != list(self.out_indices) or not all(
            0 <= index < count for index in self.out_indices
        ):
            raise ValueError(
                f'out_indices must be rising stage numbers below {count}, '
                f'got {self.out_indices}'
            )
        last = count - self.frozen_offset
        if not -1 <= self.frozen_stages <= last:
            raise ValueError(
                f'frozen_stages must be between -1 and {last}, '
                f'{"the last stage" if self.frozen_offset else "all stages"}, '
                f'got {self.frozen_stages}'
            )


def feed_forward(
    dim: int, mlp_ratio: float, drop: float, activation: Any
) -> FeedForward:
    """Return the network of a block with `mlp_ratio` times its channels."""
    return FeedForward(dim, int(dim * mlp_ratio), drop, activation)
