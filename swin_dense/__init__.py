"""Dense prediction with the Swin Transformer family on OpenMMLab.

Importing the package is light: it needs torch and mmengine only, and lets
today's OpenMMLab wheels run on today's PyTorch (see `swin_dense.compat`).
"""

from swin_dense import compat
from swin_dense.version import __version__

compat.apply()

__all__ = ['__version__']
