"""Refuse settings of a training that would fail late, or quietly do harm."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.hooks import LoggerHook
from mmengine.logging import print_log
from mmengine.registry import OPTIMIZERS
from torch import finfo, float32

from swin_dense.data.wrappers import inner_settings
from swin_dense.registry import HOOKS
from swin_dense.wording import counted, first_few, suggest_name


def check_settings(cfg: Mapping[str, Any]) -> None:
    """Check the numbers of a config before anything is trained.

    Warns if the validation or test set is the training set.

    Args:
        cfg: Config of a training.

    Raises:
        ValueError: If the optimizer is unknown, or a learning rate, a limit
            of the gradient, a length, an interval, a batch, a seed or a
            number of classes cannot work.
    """
    wrapper = cfg.get('optim_wrapper') or {}
    optimizer = wrapper.get('optimizer') or {}
    if isinstance(optimizer, Mapping):
        _check_type(optimizer.get('type'))
        if 'lr' in optimizer:
            _check_rate(optimizer['lr'])
    clip = wrapper.get('clip_grad') or {}
    for name in {'max_norm', 'clip_value'} & {*clip}:
        _check_number(clip[name], f'optim_wrapper.clip_grad.{name}', 0.0)
    _check_given_count(wrapper, 'accumulative_counts', 'optim_wrapper')
    for name in ('weight_decay', 'momentum'):
        value = optimizer.get(name)
        if value is not None:
            _check_not_negative(value, f'optim_wrapper.optimizer.{name}')
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader') or {}
        _check_given_count(loader, 'batch_size', f'{split}_dataloader')
        workers = loader.get('num_workers', 0)
        if type(workers) is not int or workers < 0:
            raise ValueError(
                f'{split}_dataloader.num_workers={workers!r} is not a number '
                'of processes; expected an integer of 0 or more'
            )
    _check_seed((cfg.get('randomness') or {}).get('seed'))
    loop = cfg.get('train_cfg') or {}
    for name in ('max_iters', 'max_epochs', 'val_interval', 'val_begin'):
        if name in loop:
            _check_count(loop[name], f'train_cfg.{name}')
    hooks = cfg.get('default_hooks') or {}
    for hook in ('checkpoint', 'logger'):
        settings = hooks.get(hook) or {}
        interval = settings.get('interval')
        if interval is not None and interval != -1:
            _check_count(interval, f'default_hooks.{hook}.interval')
    kept = (hooks.get('checkpoint') or {}).get('max_keep_ckpts', -1)
    if kept != -1:
        _check_count(kept, 'default_hooks.checkpoint.max_keep_ckpts')
    _check_model(cfg.get('model') or {}, 'model')
    _note_shared_data(cfg)


def check_channels(model: Any) -> None:
    """Check that the neck reads the maps that the backbone returns.

    Necks of hosts fail at the first image, with an assertion or in a
    convolution.

    Args:
        model: A detector or segmentor, without wrappers. Models whose
            backbone does not say its channels pass.

    Raises:
        ValueError: If number or channels of the maps differ.
    """
    channels = getattr(getattr(model, 'backbone', None), 'channels', None)
    read = getattr(getattr(model, 'neck', None), 'in_channels', None)
    if not isinstance(channels, tuple) or not isinstance(read, (list, tuple)):
        return
    if [*read] != [*channels]:
        raise ValueError(
            f'model.neck.in_channels={[*read]}, but the backbone returns '
            f'{counted(len(channels), "map")} of {[*channels]} channels: its '
            f'out_indices are {model.backbone.out_indices}. Set '
            f'model.neck.in_channels={[*channels]}, or other out_indices'
        )


def check_save_best(keys: Sequence[str], metrics: Sequence[Any]) -> None:
    """Check that an evaluation gives the values that choose the best.

    Args:
        keys: Names in `save_best`.
        metrics: Metrics of the evaluation. Those without `value_names` may
            give any value.

    Raises:
        ValueError: If no metric gives a value of such a name.
    """
    known = []
    for metric in metrics:
        names = getattr(metric, 'value_names', None)
        if names is None or getattr(metric, 'classwise', False):
            return
        prefix = f'{metric.prefix}/' if metric.prefix else ''
        known += [f'{prefix}{name}' for name in names]
    unknown = [key for key in keys if key != 'auto' and key not in known]
    if known and unknown:
        raise ValueError(
            f'default_hooks.checkpoint.save_best={unknown[0]!r} is no value '
            f'of the validation: {suggest_name(unknown[0], known)}'
        )


@HOOKS.register_module()
class SafeLoggerHook(LoggerHook):
    """mmengine's hook, without which a training goes on if the disk is full.

    The arguments are mmengine's.
    """

    _has_failed = False

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Log a step."""
        self._try(super().after_train_iter, runner, *args, **kwargs)

    def after_val_epoch(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Log a validation."""
        self._try(super().after_val_epoch, runner, *args, **kwargs)

    def _try(self, log: Any, runner: Any, *args: Any, **kwargs: Any) -> None:
        try:
            log(runner, *args, **kwargs)
        except OSError as error:
            if not self._has_failed:
                self._has_failed = True
                runner.logger.warning(
                    f'the log in {runner.log_dir} cannot be written '
                    f'({error}); training goes on without it'
                )


def tolerate_full_disk(logger: logging.Logger) -> None:
    """Let a logger say once, in a sentence, that its file has no room."""
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            _tolerate(handler)


def _tolerate(handler: Any) -> None:
    has_failed = False

    def handle(record: logging.LogRecord) -> None:
        nonlocal has_failed
        if not has_failed:
            has_failed = True
            print(
                f'{handler.baseFilename} cannot be written (is the disk '
                'full?); training goes on without it',
                flush=True,
            )

    handler.handleError = handle


def _check_type(kind: Any) -> None:
    if isinstance(kind, str) and OPTIMIZERS.get(kind) is None:
        raise ValueError(
            f'optim_wrapper.optimizer: there is no optimizer {kind}; '
            f'{suggest_name(kind, OPTIMIZERS.module_dict)}'
        )


def _check_rate(rate: Any) -> None:
    _check_number(rate, 'optim_wrapper.optimizer.lr', -math.inf)
    if not 0 <= rate <= finfo(float32).max:
        raise ValueError(
            f'optim_wrapper.optimizer.lr={rate} is not a learning rate; '
            'expected a number above 0, such as 0.0001'
        )


def _check_number(value: Any, name: str, above: float) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not value > above or not math.isfinite(value):
        raise ValueError(
            f'{name}={value!r} is not a finite number'
            + ('' if math.isinf(above) else f' above {above:g}')
        )


def _check_count(value: Any, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f'{name}={value!r} is not a count; expected an integer of 1 or '
            'more'
        )


def _check_given_count(settings: Any, name: str, where: str) -> None:
    if name in settings:
        _check_count(settings[name], f'{where}.{name}')


def _check_not_negative(value: Any, name: str) -> None:
    _check_number(value, name, -math.inf)
    if value < 0:
        raise ValueError(f'{name}={value} is below 0')


def _check_seed(seed: Any) -> None:
    if seed is not None and (type(seed) is not int or not 0 <= seed < 2**32):
        raise ValueError(
            f'randomness.seed={seed!r} is not a seed; expected an integer '
            'from 0 to 4294967295, or None for a random one'
        )


def _check_model(settings: Any, path: str) -> None:
    """Check the numbers of classes, and those of a data preprocessor."""
    if isinstance(settings, (list, tuple)):
        for number, part in enumerate(settings):
            _check_model(part, f'{path}.{number}')
    if not isinstance(settings, Mapping):
        return
    for name, value in settings.items():
        here = f'{path}.{name}'
        if name in ('num_classes', 'pad_size_divisor'):
            _check_count(value, here)
        elif name in ('mean', 'std') and 'preprocessor' in path and value:
            is_list = isinstance(value, (list, tuple))
            for each in value if is_list else [value]:
                _check_number(each, here, 0.0 if name == 'std' else -math.inf)
            if is_list and len(value) not in (1, 3):
                raise ValueError(
                    f'{here}={value} has {counted(len(value), "number")}; '
                    'expected one for each of 3 channels, or one for all'
                )
        else:
            _check_model(value, here)


def _note_shared_data(cfg: Mapping[str, Any]) -> None:
    """Warn if a set for evaluation is among the training sets."""
    train = {*_files(cfg.get('train_dataloader'))}
    for split in ('val', 'test'):
        shared = train & {*_files(cfg.get(f'{split}_dataloader'))}
        if shared:
            print_log(
                f'the {split} set is the training set '
                f'({first_few(sorted(shared))}), so its scores say nothing '
                'about other images',
                'current',
                logging.WARNING,
            )


def _files(loader: Any) -> Iterator[str]:
    """Yield the annotation file of each data set of a loader."""
    dataset = (loader or {}).get('dataset')
    if not isinstance(dataset, Mapping):
        return
    for settings in inner_settings(dataset):
        file = settings.get('ann_file')
        if isinstance(file, str) and file:
            yield str(Path(settings.get('data_root') or '', file))
