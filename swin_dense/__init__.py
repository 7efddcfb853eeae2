"""Dense prediction with the Swin Transformer family on OpenMMLab.

Importing the package imports neither torch nor mmengine. It lets today's
OpenMMLab wheels run on today's PyTorch (see `swin_dense.compat`).
"""

from swin_dense import compat
from swin_dense.version import __version__

compat.apply()

__all__ = ['__version__']
