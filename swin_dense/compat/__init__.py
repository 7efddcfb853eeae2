"""Lets today's OpenMMLab wheels run on today's PyTorch.

One module per hole, each removable on its own once upstream has mended it.
"""

from swin_dense.compat import (
    back_port,
    mmaction_imports,
    mmcv_ext,
    mmdet_checkpointing,
    mmdet_language,
    package_lookup,
    weights_only,
)


def apply() -> None:
    """Install every shim. Cheap, silent, and safe to call again."""
    mmcv_ext.install()
    weights_only.install()
    back_port.install()
    mmaction_imports.install()
    mmdet_checkpointing.install()
    mmdet_language.install()
    package_lookup.install()
