"""Check the state of a training run before any of it is loaded.

PyTorch and mmengine load the state unchecked: kernels that update parameters
would write outside of tensors of another shape, and schedules would run on
attributes of another type.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn

from swin_dense.checkpoints.errors import CheckpointError

_META = ('epoch', 'iter', 'seed', 'dataset_meta', 'CLASSES', 'swin_dense')
_HUB = ('log_scalars', 'runtime_info', 'resumed_keys')
# Attributes that keep the values of the run that resumes.
_RUN = ('cfg',)
# State of PyTorch's optimizers that has the shape of its parameter.
_LIKE_PARAMETER = {
    'acc_delta',
    'ax',
    'exp_avg',
    'exp_avg_sq',
    'exp_inf',
    'grad_avg',
    'max_exp_avg_sq',
    'momentum_buffer',
    'prev',
    'square_avg',
    'step_size',
    'sum',
}
_SCALARS = {'eta', 'mu', 'mu_product', 'step'}
_ADAM = frozenset({'step', 'exp_avg', 'exp_avg_sq'})
_PER_GROUP = ('base_values', '_last_value')


def progress_of(checkpoint: Mapping[str, Any]) -> tuple[int, int]:
    """Return the epoch and iteration that a checkpoint was saved at.

    Raises:
        ValueError: If a number is absent or invalid.
    """
    meta = checkpoint.get('meta')
    counts: list[Any] = [
        meta.get(name) if isinstance(meta, Mapping) else None
        for name in ('epoch', 'iter')
    ]
    for name, count in zip(('epoch', 'iter'), counts):
        if type(count) is not int or not 0 <= count < 1 << 62:
            raise ValueError(
                f'its {name} is {_short(count)}, expected a count'
            )
    return counts[0], counts[1]


def trim(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint without metadata that loading does not need.

    Above all, the config is left out, since mmengine would execute it.
    """
    trimmed = dict(checkpoint)
    meta = checkpoint.get('meta')
    if isinstance(meta, Mapping):
        trimmed['meta'] = {k: meta[k] for k in _META if k in meta}
    hub = checkpoint.get('message_hub')
    if isinstance(hub, Mapping) and isinstance(
        hub.get('runtime_info'), Mapping
    ):
        info = {k: v for k, v in hub['runtime_info'].items() if k not in _RUN}
        trimmed['message_hub'] = {**hub, 'runtime_info': info}
    return trimmed


def check_state(
    checkpoint: Mapping[str, Any],
    model: nn.Module,
    optim_wrapper: Any = None,
    param_schedulers: Any = None,
    source: str = 'the checkpoint',
) -> None:
    """Check that training can resume from the state in a checkpoint.

    Args:
        checkpoint: Content of the checkpoint.
        model: The model that is trained; it names the parameters.
        optim_wrapper: mmengine's wrapper of one or several optimizers, if
            their state is to be resumed.
        param_schedulers: mmengine's schedules, if they are to be resumed.
        source: Name of the checkpoint in errors.

    Raises:
        CheckpointError: If an entry has another shape or type than in this
            run, is missing, or is NaN or infinite.
    """
    try:
        progress_of(checkpoint)
        seed = checkpoint['meta'].get('seed')
        if seed is not None and (
            type(seed) is not int or not 0 <= seed < 1 << 32
        ):
            raise ValueError(f'its seed is {_short(seed)}')
        _check_hub(checkpoint.get('message_hub'))
        if 'ema_state_dict' in checkpoint:
            _check_average(
                checkpoint['ema_state_dict'], checkpoint.get('state_dict')
            )
        if optim_wrapper is not None:
            names = {id(p): name for name, p in model.named_parameters()}
            _check_wrapper(checkpoint.get('optimizer'), optim_wrapper, names)
        if param_schedulers and 'param_schedulers' not in checkpoint:
            raise ValueError(
                'it has no schedules of the learning rate, and this run has '
                f'{len(param_schedulers)}, which would start anew'
            )
        if param_schedulers is not None and 'param_schedulers' in checkpoint:
            _check_schedules(checkpoint['param_schedulers'], param_schedulers)
    except ValueError as error:
        raise CheckpointError(
            f'{source} cannot be resumed from: {error}. Resume from another '
            'checkpoint of this run, or start from the weights alone with '
            'load_from'
        ) from error


def _check_hub(hub: Any) -> None:
    """Check the state of mmengine's MessageHub."""
    if not isinstance(hub, Mapping) or not all(
        isinstance(hub.get(name), Mapping)
        and all(type(key) is str for key in hub[name])
        for name in _HUB
    ):
        raise ValueError('its message_hub is not one of mmengine')
    info = hub['runtime_info']
    kept = info.get('keep_ckpt_ids', [])
    if type(kept) is not list or not all(
        type(step) is int and step >= 0 for step in kept
    ):
        raise ValueError('its keep_ckpt_ids are not numbers of checkpoints')
    for name, value in info.items():
        if name.startswith('best_ckpt') and not isinstance(
            value, (str, type(None))
        ):
            raise ValueError(f'its {name} is not a path')
        if name.startswith('best_score'):
            _check_alike(0.0, value, name)


def _check_average(average: Any, weights: Any) -> None:
    """Check averaged weights against the weights that they average."""
    if not isinstance(average, Mapping) or not isinstance(weights, Mapping):
        raise ValueError('its ema_state_dict does not hold averaged weights')
    for name, value in average.items():
        inner = str(name).removeprefix('module.')
        if inner == name:  # counts of the average itself
            like = torch.zeros((), dtype=torch.int64)
        elif inner not in weights:
            raise ValueError(
                f'it has an averaged weight {_short(inner)}, but '
                'no such weight'
            )
        else:
            like = weights[inner]
        _check_tensor(value, like, f'the averaged weight {_short(inner)}')


def _check_wrapper(state: Any, wrapper: Any, names: Mapping[int, str]) -> None:
    if not isinstance(state, Mapping):
        raise ValueError('its optimizer state is not a dictionary')
    if isinstance(wrapper, OptimWrapperDict):
        if set(state) != set(wrapper.keys()):
            raise ValueError(
                f'it has optimizers {sorted(map(str, state))}, '
                f'this run {sorted(wrapper.keys())}'
            )
        for name, inner in wrapper.items():
            _check_wrapper(state[name], inner, names)
        return
    scaler = getattr(wrapper, 'loss_scaler', None)
    expected = scaler.state_dict() if scaler is not None else {}
    if expected and 'loss_scaler' in state:  # empty where it is switched off
        _check_alike(expected, state['loss_scaler'], 'loss_scaler')
    if state.get('base_param_settings') is not None:
        _check_settings(
            getattr(wrapper, 'base_param_settings', None) or {},
            state['base_param_settings'],
        )
    _check_optimizer(state, wrapper.optimizer, names)


def _check_optimizer(
    state: Mapping[str, Any], optimizer: Any, names: Mapping[int, str]
) -> None:
    groups, states = state.get('param_groups'), state.get('state')
    if (
        type(groups) is not list
        or not isinstance(states, Mapping)
        or not all(
            isinstance(group, Mapping) and type(group.get('params')) is list
            for group in groups
        )
    ):
        raise ValueError('its optimizer state is not in the format of PyTorch')
    sizes = [len(group['params']) for group in groups]
    expected = [len(group['params']) for group in optimizer.param_groups]
    if sizes != expected:
        raise ValueError(
            f'its optimizer has {len(sizes)} groups with '
            f'{sum(sizes)} parameters, that of this run {len(expected)} '
            f'with {sum(expected)}'
            if (len(sizes), sum(sizes)) != (len(expected), sum(expected))
            else 'its optimizer groups the parameters in another way'
        )
    parameters: dict[Any, Tensor] = {}
    for saved, group in zip(groups, optimizer.param_groups):
        for number, parameter in zip(saved['params'], group['params']):
            if type(number) is not int or number in parameters:
                raise ValueError('its optimizer counts a parameter twice')
            parameters[number] = parameter
        _check_settings(group, saved)
    inner = getattr(optimizer, 'optim', optimizer)
    for number, entries in states.items():
        if number not in parameters or not isinstance(entries, Mapping):
            raise ValueError(
                'its optimizer has state of parameter '
                f'{_short(number)}, which does not exist'
            )
        parameter = parameters[number]
        label = names.get(id(parameter), f'parameter {number}')
        for name, value in entries.items():
            _check_entry(name, value, parameter, label, inner)
        # Otherwise the first step would fail half-way.
        if isinstance(inner, torch.optim.Adam) and not _ADAM <= set(entries):
            raise ValueError(f'its optimizer lacks entries of {label}')


def _check_settings(expected: Mapping[str, Any], settings: Any) -> None:
    """Check the settings of a group of parameters."""
    if not isinstance(settings, Mapping):
        raise ValueError('its optimizer has a group without settings')
    for name in set(settings) & set(expected) - {'params'}:
        _check_alike(expected[name], settings[name], f'the setting {name}')


def _check_entry(
    name: str, value: Any, parameter: Tensor, label: str, optimizer: Any
) -> None:
    """Check one entry of the state of a parameter."""
    what = f'optimizer state {_short(name)} of {label}'
    official = type(optimizer).__module__.startswith('torch.optim')
    if not isinstance(value, Tensor):
        if name in _LIKE_PARAMETER and value is not None:
            raise ValueError(f'{what} is not a tensor')
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f'{what} is {value}')
    elif name in _LIKE_PARAMETER:
        _check_tensor(value, parameter, what)
    elif official and name in _SCALARS:
        _check_tensor(
            value.reshape(()) if value.numel() == 1 else value,
            torch.zeros(()),
            what,
        )
    elif official and not _is_factor(name, value, parameter):
        raise ValueError(
            f'{what} has shape {tuple(value.shape)}, which '
            f'{type(optimizer).__name__} does not use'
        )
    elif not _is_finite(value):
        raise ValueError(f'{what} is NaN or infinite')


def _is_factor(name: str, value: Tensor, parameter: Tensor) -> bool:
    """Return True for the factors that Adafactor keeps of a matrix."""
    axis = {'row_var': -1, 'col_var': -2}.get(name)
    if name == 'variance':
        return value.shape == parameter.shape
    if axis is None or parameter.ndim < 2:
        return False
    shape = list(parameter.shape)
    shape[axis] = 1
    return list(value.shape) == shape


def _check_schedules(states: Any, schedulers: Any) -> None:
    if isinstance(schedulers, Mapping):
        if not isinstance(states, Mapping) or set(states) != set(schedulers):
            raise ValueError('it has schedules for other optimizers')
        for name, inner in schedulers.items():
            _check_schedules(states[name], inner)
        return
    if type(states) is not list or len(states) != len(schedulers):
        count = len(states) if isinstance(states, list) else 'no'
        raise ValueError(
            f'it has {count} schedules, this run {len(schedulers)}'
        )
    for number, (state, scheduler) in enumerate(zip(states, schedulers)):
        label = f'schedule {number} ({type(scheduler).__name__})'
        attributes = scheduler.state_dict()
        if not isinstance(state, Mapping) or not set(state) <= set(attributes):
            raise ValueError(f'{label} has other attributes')
        for name, value in state.items():
            _check_alike(attributes[name], value, f'{name} of {label}')
            if name in _PER_GROUP and len(value) != len(attributes[name]):
                raise ValueError(
                    f'{name} of {label} has {len(value)} values, the '
                    f'optimizer {len(attributes[name])} groups'
                )


def _check_alike(expected: Any, value: Any, what: str) -> None:
    """Raise unless a value has the type of the expected value."""
    if _is_scalar(expected):
        expected = expected.item()
    if isinstance(expected, Counter):
        if type(value) is not Counter or not all(
            type(number) is int for pair in value.items() for number in pair
        ):
            raise ValueError(f'{what} does not count numbers')
    elif isinstance(expected, Mapping):
        if not isinstance(value, Mapping) or set(value) != set(expected):
            raise ValueError(f'{what} has other entries')
        for name in expected:
            _check_alike(expected[name], value[name], f'{name} of {what}')
    elif isinstance(expected, (list, tuple)):
        if not isinstance(value, (list, tuple)):
            raise ValueError(f'{what} is not a list')
        for inner in value:
            if expected:
                _check_alike(expected[0], inner, what)
    elif isinstance(expected, Tensor):
        _check_tensor(value, expected, what)
    elif isinstance(expected, (int, float)) and not isinstance(expected, bool):
        number = value.item() if _is_scalar(value) else value
        if (
            not isinstance(number, (int, float))
            or isinstance(number, bool)
            or not (abs(number) < 1 << 62 or number == expected)
        ):
            raise ValueError(f'{what} is {_short(value)}, expected a number')
    elif expected is None or isinstance(expected, bool):
        if not isinstance(value, (bool, int, float, str, type(None))):
            raise ValueError(f'{what} is {_short(value)}')
    elif type(value) is not type(expected):
        raise ValueError(f'{what} is {_short(value)}')


def _check_tensor(value: Any, expected: Any, what: str) -> None:
    """Raise unless a tensor has the expected shape and kind of number."""
    if not isinstance(value, Tensor) or not isinstance(expected, Tensor):
        raise ValueError(f'{what} is not a tensor')
    if value.shape != expected.shape:
        raise ValueError(
            f'{what} has shape {tuple(value.shape)}, expected '
            f'{tuple(expected.shape)}'
        )
    if value.is_floating_point() != expected.is_floating_point():
        raise ValueError(
            f'{what} has type {value.dtype}, expected {expected.dtype}'
        )
    if not _is_finite(value):
        raise ValueError(f'{what} is NaN or infinite')


def _is_finite(value: Tensor) -> bool:
    return bool(torch.isfinite(value).all())


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (Tensor, np.generic)) and value.ndim == 0


def _short(value: Any) -> str:
    """Return a value as text that fits an error."""
    if isinstance(value, int) and abs(value) >= 1 << 64:
        return 'a number beyond 2**64'
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + '...'
