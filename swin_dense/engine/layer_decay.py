"""Learning rates that depend on the depth of a parameter."""

import re
from collections.abc import Mapping
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from swin_dense.registry import OPTIM_WRAPPER_CONSTRUCTORS
from swin_dense.wording import did_you_mean

_LAYER = re.compile(
    r'(?:^|\.)backbone\.layers\.(\d+)\.'
    r'(?:blocks\.(\d+)|downsample)\.'
)
_EMBEDDING = re.compile(r'(?:^|\.)backbone\.(?:patch_embed\.|absolute_pos)')
# mmengine ignores settings that it does not know.
_SETTINGS = (
    'layer_decay_rate',
    'backbone_lr_mult',
    'custom_keys',
    'bias_lr_mult',
    'bias_decay_mult',
    'norm_decay_mult',
    'dwconv_decay_mult',
    'flat_decay_mult',
    'dcn_offset_lr_mult',
    'bypass_duplicate',
)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(DefaultOptimWrapperConstructor):
    """mmengine's default constructor, with layer-wise decay for Swin.

    The learning rate of block k of N, counted through all stages, is
    multiplied by `rate ** (N + 1 - k)`. A merging layer counts with the block
    before it, the embedding as block 0; all other parameters (heads, norms of
    the outputs) have the full rate. The official code groups parameters in
    this way to fine-tune Swin.

    `paramwise_cfg` takes mmengine's settings, and

    - `layer_decay_rate`: The factor from one block to the one before it,
      above 0 and at most 1.
    - `backbone_lr_mult`: Factor for the whole backbone, 1 by default.

    Raises:
        ValueError: If the rate is absent, a factor is out of range, a setting
            is unknown, or the optimizer has no `lr`; when the optimizer is
            built, if the model has no Swin backbone.
    """

    def __init__(
        self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None
    ) -> None:
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        # mmengine skips `add_params` if there are no settings, so all are
        # checked here.
        _check_settings(self.paramwise_cfg)
        if self.base_lr is None:
            raise ValueError(
                'the optimizer has no lr, which LayerDecayConstructor scales: '
                'set optim_wrapper.optimizer.lr'
            )

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
        rate = self.paramwise_cfg['layer_decay_rate']
        factor = self.paramwise_cfg.get('backbone_lr_mult', 1)
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


def _check_settings(settings: Mapping[str, Any]) -> None:
    """Raise unless the settings of `LayerDecayConstructor` are valid.

    Raises:
        ValueError: If a setting is absent, unknown or out of range.
    """
    for name in settings:
        if name not in _SETTINGS:
            close = did_you_mean(name, _SETTINGS)
            hint = f' (did you mean {close!r}?)' if close else ''
            raise ValueError(
                f'paramwise_cfg has no setting {name!r}{hint}. '
                f'Use one of {", ".join(_SETTINGS)}'
            )
    rate = settings.get('layer_decay_rate')
    if not isinstance(rate, (int, float)) or not 0 < rate <= 1:
        raise ValueError(
            'paramwise_cfg needs layer_decay_rate, above 0 and at most 1, '
            f'got {rate!r}'
        )
    factor = settings.get('backbone_lr_mult', 1)
    if not isinstance(factor, (int, float)) or factor < 0:
        raise ValueError(
            'backbone_lr_mult in paramwise_cfg must be a number not below 0, '
            f'got {factor!r}'
        )


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
