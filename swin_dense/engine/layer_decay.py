"""Learning rates that depend on the depth of a parameter."""

import re
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from swin_dense.registry import OPTIM_WRAPPER_CONSTRUCTORS

_LAYER = re.compile(
    r'(?:^|\.)backbone\.layers\.(\d+)\.'
    r'(?:blocks\.(\d+)|downsample)\.'
)
_EMBEDDING = re.compile(r'(?:^|\.)backbone\.(?:patch_embed\.|absolute_pos)')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(DefaultOptimWrapperConstructor):
    """mmengine's default constructor, with layer-wise decay for Swin.

    The learning rate of block k of N, counted through all stages, is
    multiplied by `rate ** (N + 1 - k)`. A merging layer counts with the block
    before it, the embedding as block 0; all other parameters (heads, norms of
    the outputs) have the full rate. The official code groups parameters in
    this way to fine-tune Swin.

    `paramwise_cfg` takes what mmengine's takes, and

    - `layer_decay_rate`: The factor from one block to the one before it,
      above 0 and at most 1.
    - `backbone_lr_mult`: Factor for the whole backbone, 1 by default.

    Raises:
        ValueError: If the rate is absent, a factor is out of range, or the
            model has no Swin backbone.
    """

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: Any | None = None,
    ) -> None:
        """Add a group for each parameter; see mmengine."""
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix:  # once, when all groups are there
            return
        rate = self.paramwise_cfg.get('layer_decay_rate')
        if not isinstance(rate, (int, float)) or not 0 < rate <= 1:
            raise ValueError(
                'paramwise_cfg needs layer_decay_rate, above 0 '
                f'and at most 1, got {rate!r}'
            )
        factor = self.paramwise_cfg.get('backbone_lr_mult', 1)
        if not isinstance(factor, (int, float)) or factor < 0:
            raise ValueError(
                'backbone_lr_mult in paramwise_cfg must be a '
                f'number not below 0, got {factor!r}'
            )
        stages = getattr(getattr(module, 'backbone', None), 'layers', None)
        if stages is None:
            raise ValueError(
                'LayerDecayConstructor is for models with a Swin backbone of '
                f'this package, got {type(module).__name__}; use the default '
                'constructor'
            )
        depths = [len(stage.blocks) for stage in stages]
        names = {id(p): name for name, p in module.named_parameters()}
        for group in params:
            name = names[id(group['params'][0])]
            scale = rate ** (sum(depths) + 1 - _depth(name, depths))
            if name.startswith('backbone.'):
                scale *= factor
            base: Any = group.get('lr', self.base_lr)
            group['lr'] = base * scale


def _depth(name: str, depths: list[int]) -> int:
    """Return 0 for the embedding, k for block k, N + 1 after the blocks."""
    if _EMBEDDING.search(name):
        return 0
    match = _LAYER.search(name)
    if match is None:
        return sum(depths) + 1
    stage, block = match.groups()
    if block is None:
        return sum(depths[: int(stage) + 1])
    return sum(depths[: int(stage)]) + int(block) + 1
