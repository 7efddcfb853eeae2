"""Modules of the Swin family, built from `swin_dense.ops`."""
from swin_dense.layers.attention import (AttentionCore, CosineAttention,
                                         WindowAttention)
from swin_dense.layers.block import SwinBlock
from swin_dense.layers.drop_path import DropPath
from swin_dense.layers.feedforward import FeedForward
from swin_dense.layers.patch import PatchEmbed, PatchMerging
from swin_dense.layers.position_bias import LogPositionBias
from swin_dense.layers.stage import SwinStage

__all__ = [
    'AttentionCore', 'CosineAttention', 'DropPath', 'FeedForward',
    'LogPositionBias', 'PatchEmbed', 'PatchMerging', 'SwinBlock', 'SwinStage',
    'WindowAttention'
]
