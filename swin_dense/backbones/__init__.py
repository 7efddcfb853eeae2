"""Swin backbones, registered under scope `swin_dense`."""

from swin_dense.backbones.composite import CompositeBackbone
from swin_dense.backbones.mini_swin import MiniSwin
from swin_dense.backbones.swin import SwinTransformer
from swin_dense.backbones.swin_mlp import SwinMLP
from swin_dense.backbones.swin_moe import SwinMoE
from swin_dense.backbones.swin_v2 import SwinTransformerV2
from swin_dense.backbones.video_swin import SwinTransformer3D
from swin_dense.backbones.video_swin_v2 import SwinTransformerV2_3D

__all__ = [
    'CompositeBackbone',
    'MiniSwin',
    'SwinMLP',
    'SwinMoE',
    'SwinTransformer',
    'SwinTransformer3D',
    'SwinTransformerV2',
    'SwinTransformerV2_3D',
]
