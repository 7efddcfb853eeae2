"""Arguments that only the configs of mmpretrain give to a backbone."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.registry import DefaultScope


def is_of_mmpretrain(*values: Any) -> bool:
    """Return True if a backbone is built from a config of mmpretrain.

    Its classes have other defaults than those of mmdet and mmsegmentation. A
    config of mmpretrain is recognised by arguments that the other hosts do
    not have, or by the default scope.

    Args:
        values: Values of these arguments; None for those that are not given.
    """
    if any(value is not None for value in values):
        return True
    scope = DefaultScope.get_current_instance()
    return scope is not None and scope.scope_name == 'mmpretrain'


def stage_settings(
    cfgs: dict | Sequence[dict], count: int, allowed: Sequence[str]
) -> list[dict]:
    """Return the settings of each stage from mmpretrain's `stage_cfgs`.

    Args:
        cfgs: One dictionary of settings for all stages, or one for each. Its
            entry `block_cfgs` is a dictionary of further settings.
        count: Number of stages.
        allowed: Names of the settings that exist.

    Raises:
        ValueError: If there are more or fewer dictionaries than stages, or a
            setting is not allowed.
    """
    is_list = isinstance(cfgs, (list, tuple))
    settings: list[Any] = list(cfgs) if is_list else [cfgs] * count
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
    """Return True unless mmpretrain's `patch_cfg` removes the norm.

    Args:
        cfg: Settings of the patch embedding.

    Raises:
        ValueError: If it sets anything but `norm_cfg`, or another norm.
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
