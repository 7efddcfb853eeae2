"""Fit the length and the learning rate of a training to its data."""

from collections.abc import Mapping
from math import ceil, sqrt
from typing import Any

from swin_dense.engine.config_text import Code

# A model that starts from pretrained weights needs about this many updates,
# however few its images are.
MIN_UPDATES = 2000
# Passes over the data of a training that is counted in updates.
PASSES = 100
# Share of the training in which the learning rate rises.
WARM_UP = 0.1
# Validations of a training whose length is not the recipe's.
VALIDATIONS = 20


def fit_schedule(
    cfg: Mapping[str, Any],
    num_items: int,
    *,
    batch_size: int,
    num_processes: int = 1,
    epochs: int | None = None,
) -> tuple[dict[str, Any], str]:
    """Return the settings of a schedule for other data and another batch.

    A training counted in epochs keeps its epochs, but has at least
    `MIN_UPDATES` updates. A training counted in updates passes over the data
    `PASSES` times, within `MIN_UPDATES` and the recipe's own length. Warm-up
    and steps of the learning rate keep their places. The learning rate grows
    with the square root of the batch, as usual for AdamW.

    Args:
        cfg: The config of the recipe.
        num_items: Number of images or clips to train on.
        batch_size: Images or clips of a process in a step.
        num_processes: Number of processes of the run.
        epochs: Passes over the data, instead of the lengths above.

    Returns:
        Settings to be merged into the config, in which `_base_` stands for
        the recipe; and a sentence on the length and the learning rate.
    """
    wrapper = cfg['optim_wrapper']
    accumulated = wrapper.get('accumulative_counts', 1)
    batch = batch_size * num_processes * accumulated
    base = (cfg.get('auto_scale_lr') or {}).get('base_batch_size') or batch
    steps_of_epoch = max(1, ceil(num_items / (batch_size * num_processes)))
    by_epoch = 'max_epochs' in cfg['train_cfg']
    if by_epoch:
        old = cfg['train_cfg']['max_epochs']
        new = epochs or max(
            old, ceil(MIN_UPDATES * accumulated / steps_of_epoch)
        )
        interval = cfg['train_cfg'].get('val_interval', 1)
        if new != old:
            interval = min(new, max(1, round(new / VALIDATIONS)))
        steps, noun = new * steps_of_epoch, f'{new} epochs'
    else:
        old = cfg['train_cfg']['max_iters']
        new = min(
            max(PASSES * steps_of_epoch, MIN_UPDATES * accumulated),
            ceil(old * max(1, base / batch)),
        )
        new = epochs * steps_of_epoch if epochs else new
        interval = min(new, max(steps_of_epoch, ceil(new / VALIDATIONS)))
        steps, noun = new, f'{new} iterations'
    key = 'max_epochs' if by_epoch else 'max_iters'
    rate = wrapper['optimizer']['lr'] * sqrt(batch / base)
    rate = float(f'{rate:.2g}')
    settings: dict[str, Any] = {
        'train_cfg': {key: new, 'val_interval': interval},
        'param_scheduler': [
            _fit(index, part, old, new, steps, steps_of_epoch)
            for index, part in enumerate(cfg.get('param_scheduler') or ())
        ],
        'optim_wrapper': {'optimizer': {'lr': rate}},
        'auto_scale_lr': {'base_batch_size': batch},
        'default_hooks': {'checkpoint': {'interval': interval}},
    }
    note = (
        f'{noun} of {steps_of_epoch} steps, '
        if by_epoch
        else f'{noun}, {new / steps_of_epoch:.3g} passes over the data, '
    )
    note += (
        f'learning rate {rate:g} ({wrapper["optimizer"]["lr"]:g} at batch '
        f'{base}, times the square root of {batch}/{base})'
    )
    return settings, note


def _fit(
    index: int,
    part: Mapping[str, Any],
    old: int,
    new: int,
    steps: int,
    steps_of_epoch: int,
) -> Code:
    """Return a part of a schedule, stretched from an old to a new length.

    Args:
        index: Place in the recipe's list of parts.
        part: The part: a learning rate over a stretch of the training.
        old: Length of the recipe, in its own unit.
        new: New length, in the same unit.
        steps: New length in steps.
        steps_of_epoch: Steps of an epoch.
    """
    changes: dict[str, Any] = {}
    in_steps = not part.get('by_epoch', True)
    if part['type'] == 'LinearLR':
        end = part['end']
        rising = max(1, round(WARM_UP * steps))
        if in_steps:
            end = min(end, rising)
        else:  # rounded up, so that it is at least a step
            end = min(end, ceil(100 * rising / steps_of_epoch) / 100)
        changes['end'] = end
    else:
        factor = new / old
        begin = part.get('begin', 0)
        if begin:
            begin = min(begin, max(1, round(WARM_UP * new)), new - 1)
            changes['begin'] = begin
        if 'end' in part:
            changes['end'] = new
        if 'T_max' in part:
            changes['T_max'] = new - begin
        if 'milestones' in part:
            changes['milestones'] = [
                max(1, round(milestone * factor))
                for milestone in part['milestones']
            ]
    arguments = ', '.join(f'{k}={v!r}' for k, v in changes.items())
    return Code(f'dict(_base_.param_scheduler[{index}], {arguments})')
