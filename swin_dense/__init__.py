"""Dense prediction with the Swin Transformer family on OpenMMLab.

Importing the package imports neither torch nor mmengine: its public names are
imported on use. It lets today's OpenMMLab wheels run on today's PyTorch (see
`swin_dense.compat`).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from swin_dense import compat
from swin_dense.version import __version__

if TYPE_CHECKING:
    from swin_dense.backbones import (
        CompositeBackbone,
        MiniSwin,
        SwinMLP,
        SwinMoE,
        SwinTransformer,
        SwinTransformer3D,
        SwinTransformerV2,
        SwinTransformerV2_3D,
    )
    from swin_dense.checkpoints import load_backbone
    from swin_dense.engine.open_model import load
    from swin_dense.model_list import list_models

compat.apply()

__all__ = [
    'CompositeBackbone',
    'MiniSwin',
    'SwinMLP',
    'SwinMoE',
    'SwinTransformer',
    'SwinTransformer3D',
    'SwinTransformerV2',
    'SwinTransformerV2_3D',
    '__version__',
    'list_models',
    'load',
    'load_backbone',
]

# Module of each public name that is not a backbone.
_MODULES = {
    'list_models': 'model_list',
    'load': 'engine.open_model',
    'load_backbone': 'checkpoints',
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module = import_module(f'{__name__}.{_MODULES.get(name, "backbones")}')
    globals()[name] = getattr(module, name)
    return globals()[name]


def __dir__() -> list[str]:
    """Return all names, imported or not."""
    return sorted({*globals(), *__all__})
