"""Reading the arguments that mmpretrain's configs alone give."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.registry import DefaultScope


def is_of_mmpretrain(*its_own: Any) -> bool:
    """Return whether a backbone is built from a config of mmpretrain.

    Its classes have other defaults than those of mmdet and mmsegmentation.
    It is told by arguments that it alone has, or by the default scope.

    Args:
        its_own: Values of such arguments; None where not given.
    """
    if any(value is not None for value in its_own):
        return True
    scope = DefaultScope.get_current_instance()
    return scope is not None and scope.scope_name == 'mmpretrain'


def stage_settings(
    cfgs: dict | Sequence[dict], count: int, allowed: Sequence[str]
) -> list[dict]:
    """Return the settings of each stage from mmpretrain's `stage_cfgs`.

    Args:
        cfgs: Settings of all stages, or of each. `block_cfgs` among them are
            settings too.
        count: Number of stages.
        allowed: Names of the settings there are.

    Raises:
        ValueError: If the number is another, or a setting is not allowed.
    """
    several = isinstance(cfgs, (list, tuple))
    settings = list(cfgs) if several else [cfgs] * count
    settings = settings or [{}] * count
    if len(settings) != count:
        raise ValueError(
            f'stage_cfgs must be one dictionary or one for each of the '
            f'{count} stages, got {len(settings)}'
        )
    merged = []
    for cfg in settings:
        blocks = cfg.get('block_cfgs', {})
        if not isinstance(blocks, Mapping):
            raise ValueError(
                'block_cfgs must be one dictionary for all '
                f'blocks of a stage, got {blocks!r}'
            )
        merged.append(
            {**{k: v for k, v in cfg.items() if k != 'block_cfgs'}, **blocks}
        )
    for key in sorted(set().union(*merged)):
        if key not in allowed:
            raise ValueError(
                f'stage_cfgs cannot set {key!r}, only {", ".join(allowed)}: '
                'sizes are set by arch, the blocks by arguments of the '
                'backbone'
            )
    return merged


def has_patch_norm(cfg: Mapping[str, Any]) -> bool:
    """Return whether the embedding has a norm, by mmpretrain's `patch_cfg`.

    Raises:
        ValueError: If it sets anything else.
    """
    if set(cfg) - {'norm_cfg'} or cfg.get('norm_cfg', dict(type='LN')) not in (
        None,
        dict(type='LN'),
    ):
        raise ValueError(
            "patch_cfg can only set norm_cfg to None or dict(type='LN'), got "
            f'{cfg!r}: set patch_size and in_channels as such'
        )
    return cfg.get('norm_cfg', True) is not None
