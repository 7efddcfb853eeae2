"""Compile the backbone of a model with `torch.compile`."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.logging import MMLogger
from torch import nn

from swin_dense.backbones import CompositeBackbone
from swin_dense.backbones.base import SwinPyramid
from swin_dense.layers import ExpertFeedForward


def compile_backbone(model: nn.Module, options: Any) -> None:
    """Let `torch.compile` compile the backbone of a model, in place.

    A backbone becomes one graph. Heads are not compiled, since their shapes
    depend on the detections. Parameter names stay. Compilation starts with
    the first forward pass, and may start again for other image sizes.

    Args:
        model: A detector, segmentor, recognizer or classifier.
        options: Name of a backend such as 'inductor', or arguments of
            `torch.compile`, or True for its defaults. None and False do
            nothing.

    Raises:
        ValueError: If the backend does not exist, or the model has no
            backbone that can be compiled.
    """
    if not options:
        return
    if isinstance(options, str):
        options = {'backend': options}
    arguments = dict(options) if isinstance(options, Mapping) else {}
    backend = arguments.setdefault('backend', 'inductor')
    backends = torch.compiler.list_backends(exclude_tags=())
    if isinstance(backend, str) and backend not in backends:
        raise ValueError(
            f'torch.compile has no backend {backend!r}; it has '
            f'{", ".join(backends)}'
        )
    modules = list(model.modules())
    if any(isinstance(module, CompositeBackbone) for module in modules):
        raise ValueError(
            'a CompositeBackbone cannot be compiled: leave out --compile and '
            'compile_backbone'
        )
    if any(isinstance(module, ExpertFeedForward) for module in modules):
        raise ValueError(
            'a SwinMoE with experts cannot be compiled, since the tokens of '
            'an expert depend on the image: leave out --compile and '
            'compile_backbone'
        )
    backbones = [m for m in modules if isinstance(m, SwinPyramid)]
    if not backbones:
        raise ValueError(
            f'{type(model).__name__} has no Swin backbone of swin_dense to '
            'compile: leave out --compile and compile_backbone'
        )
    for backbone in backbones:
        backbone.compile(**arguments)
    MMLogger.get_current_instance().info(
        f'backbone: compiled by torch.compile, backend {backend}'
    )
