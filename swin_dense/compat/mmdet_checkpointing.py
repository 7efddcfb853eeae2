"""Recomputes activations in mmdet's transformers without fairscale.

If a config sets `num_cp` (Grounding DINO, DINO and others), mmdet 3.3 uses
`checkpoint_wrapper` of fairscale, which is no longer maintained. If fairscale
is not installed, PyTorch's own checkpointing replaces it.

Remove this file once mmdet calls PyTorch itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from swin_dense.compat import mending
from swin_dense.compat.shim import Shim, is_importable, require_any

if TYPE_CHECKING:
    from torch import nn

MODULES = ('detr_layers', 'deformable_detr_layers', 'grounding_dino_layers')


def install() -> None:
    """Mend mmdet's transformers at the moment they are imported."""
    mending.install(
        {
            f'mmdet.models.layers.transformer.{name}': provide_wrapper
            for name in MODULES
        }
    )


@contextmanager
def provide_wrapper(module: ModuleType) -> Iterator[None]:
    """Define `checkpoint_wrapper` in a module that found no fairscale."""
    yield
    if getattr(module, 'checkpoint_wrapper', None) is None:
        vars(module)['checkpoint_wrapper'] = checkpoint_wrapper


def checkpoint_wrapper(module: nn.Module) -> nn.Module:
    """Make a module recompute its activations in the backward pass.

    The module itself is changed and returned, so that parameter names stay.
    Both forward passes draw the same random numbers, as for dropout.
    """
    # A bound method: a deep copy of the module is bound to the copy.
    module.forward = MethodType(  # type: ignore[method-assign]
        _forward_checkpointed, module
    )
    return module


def _forward_checkpointed(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
    import torch
    from torch.utils.checkpoint import checkpoint

    forward = type(self).forward
    if not torch.is_grad_enabled():
        return forward(self, *args, **kwargs)
    return checkpoint(forward, self, *args, use_reentrant=False, **kwargs)


def find_obstacle() -> str:
    """Return why mmdet needs no replacement of fairscale here, or ''."""
    if is_importable('fairscale'):
        return 'fairscale is installed'
    return require_any('mmdet')


SHIM = Shim(
    name='mmdet_checkpointing',
    reason='mmdet 3.3 takes activation checkpointing of its transformers '
    '(num_cp) from fairscale, which is no longer maintained.',
    removal="Install fairscale, or an mmdet that calls PyTorch's "
    'checkpointing.',
    symptom='fairscale',
    install=install,
    find_obstacle=find_obstacle,
)
