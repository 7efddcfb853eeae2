"""Check the settings of a training, and that its evaluation gives a value."""

from typing import Any

from mmengine.registry import METRICS

from swin_dense.engine.early_checks import check_save_best, check_settings
from swin_dense.preflight.results import Finding


def check(context: Any) -> Finding:
    """Check numbers, intervals and `save_best` of a config.

    Raises:
        ValueError: If a setting cannot work.
    """
    config = context.config
    check_settings(config)
    hooks = config.get('default_hooks') or {}
    keys = (hooks.get('checkpoint') or {}).get('save_best')
    if keys and config.get('val_evaluator'):
        keys = [keys] if isinstance(keys, str) else keys
        check_save_best(keys, build_metrics(config.val_evaluator))
    wrapper = config.get('optim_wrapper') or {}
    optimizer = wrapper.get('optimizer') or {}
    return Finding(
        f'{optimizer.get("type", "no optimizer")}, '
        f'learning rate {optimizer.get("lr", "unknown")}'
    )


def build_metrics(settings: Any) -> list[Any]:
    """Build the metrics of an evaluator's settings."""
    if not isinstance(settings, (list, tuple)):
        settings = [settings]
    return [METRICS.build(entry) for entry in settings]
