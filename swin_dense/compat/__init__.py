"""Lets today's OpenMMLab wheels run on today's PyTorch.

One module per hole, each removable on its own once upstream has mended it.
"""
from . import (back_port, checkpoints, mmaction, mmcv_ops, mmdet_checkpointing,
               mmdet_language, mmengine_packages)


def apply() -> None:
    """Install every shim. Cheap, silent, and safe to call again."""
    mmcv_ops.install()
    checkpoints.install()
    back_port.install()
    mmaction.install()
    mmdet_checkpointing.install()
    mmdet_language.install()
    mmengine_packages.install()
