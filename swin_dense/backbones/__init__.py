"""Swin backbones, registered under scope `swin_dense`."""
from swin_dense.backbones.swin import SwinTransformer

__all__ = ['SwinTransformer']
