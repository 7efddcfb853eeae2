"""Modules of the Swin family, built from `swin_dense.kernels`."""

from swin_dense.layers.attention import (
    CosineAttention,
    LogBiasAttention,
    WindowAttention,
    WindowAttentionBase,
)
from swin_dense.layers.block import SwinBlock
from swin_dense.layers.drop_path import DropPath
from swin_dense.layers.experts import ExpertFeedForward, Experts
from swin_dense.layers.feedforward import FeedForward
from swin_dense.layers.log_position_bias import LogPositionBias
from swin_dense.layers.mixer import WindowMixer
from swin_dense.layers.multiplexed import (
    HeadMixingAttention,
    MultiplexedBlock,
)
from swin_dense.layers.patch import PatchEmbed, PatchMerging
from swin_dense.layers.routing import (
    CosineRouter,
    LinearRouter,
    Router,
    Routing,
)
from swin_dense.layers.spatial_mlp import SpatialMLP
from swin_dense.layers.stage import SwinStage

__all__ = [
    'CosineAttention',
    'CosineRouter',
    'DropPath',
    'ExpertFeedForward',
    'Experts',
    'FeedForward',
    'HeadMixingAttention',
    'LinearRouter',
    'LogBiasAttention',
    'LogPositionBias',
    'MultiplexedBlock',
    'PatchEmbed',
    'PatchMerging',
    'Router',
    'Routing',
    'SpatialMLP',
    'SwinBlock',
    'SwinStage',
    'WindowAttention',
    'WindowAttentionBase',
    'WindowMixer',
]
