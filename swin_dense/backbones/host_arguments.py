"""Arguments that the hosts' configs give to a backbone."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import Parameter, signature
from typing import Any

from mmengine.registry import build_from_cfg
from torch import nn

from swin_dense.wording import did_you_mean

# Name of a size, or the sizes themselves.
Arch = str | dict[str, Any]
# File or address of weights, see `SwinPyramid`.
Pretrained = str | os.PathLike | None
# One or several initialisations, see `SwinPyramid`.
InitCfg = dict | Sequence[dict] | None
# Arguments of `dict(type='Pretrained')`. `map_location`, which mmengine takes,
# changes nothing here: tensors are copied to the device of the model.
_PRETRAINED_KEYS = (
    'type',
    'checkpoint',
    'method',
    'source_window',
    'allow_nonfinite',
    'prefix',
    'final_norm',
    'map_location',
)


def reject_unknown(cls: type, unknown: dict[str, Any]) -> None:
    """Refuse arguments that a class does not have.

    Args:
        cls: Class of a backbone.
        unknown: Names and values of the arguments that it does not have.

    Raises:
        TypeError: If `unknown` is not empty. The message names the closest
            argument that exists, and lists all.
    """
    known = _arguments(cls)
    for name in unknown:
        closest = did_you_mean(name, known)
        hint = f' Did you mean {closest!r}?' if closest else ''
        raise TypeError(
            f'{cls.__name__} has no argument {name!r}.{hint} '
            f'It takes: {", ".join(known)}.'
        )


def _arguments(cls: type) -> list[str]:
    """Return the arguments of a class, and those that it hands on."""
    names: dict[str, None] = {}
    for base in cls.__mro__:
        parameters = signature(base).parameters
        names |= {
            name: None
            for name, parameter in parameters.items()
            if parameter.kind is not Parameter.VAR_KEYWORD
        }
        if 'unknown' in parameters:
            break
    return list(names)


def arch_sizes(arch: Arch, archs: Mapping[str, dict]) -> dict[str, Any]:
    """Return the sizes of an architecture.

    Args:
        arch: A name or its first letter, in any case, or a dictionary of
            sizes.
        archs: Sizes by name. Keys that only some of them have are optional.

    Raises:
        ValueError: If the name is not in `archs`, or the dictionary lacks a
            size or has an unknown one.
    """
    needed = min(archs.values(), key=len)
    allowed = max(archs.values(), key=len)
    if isinstance(arch, str):
        for name, sizes in archs.items():
            if arch.lower() in (name, name[0]):
                return dict(sizes)
    elif isinstance(arch, Mapping) and (
        set(needed) <= set(arch) <= set(allowed)
    ):
        return dict(arch)
    raise ValueError(
        f'arch must be one of {", ".join(archs)}, or a dictionary of '
        f'{", ".join(allowed)}, got {arch!r}'
    )


def pretrained_cfg(pretrained: Pretrained, init_cfg: InitCfg) -> InitCfg:
    """Return `init_cfg`, or the equivalent of the argument `pretrained`.

    Args:
        pretrained: File or address of weights, or None.
        init_cfg: Initialisation, or None.

    Raises:
        TypeError: If `pretrained` is not a file or address.
        ValueError: If both are given.
    """
    if pretrained is None:
        return init_cfg
    if not isinstance(pretrained, (str, os.PathLike)):
        raise TypeError(
            'pretrained must be a file or address, or None, got '
            f'{pretrained!r}'
        )
    if init_cfg is not None:
        raise ValueError('give init_cfg or pretrained, not both')
    return dict(type='Pretrained', checkpoint=pretrained)


def is_built_by_registry(module: nn.Module) -> bool:
    """Return True if a registry makes a module of a config.

    Args:
        module: The module whose `__init__` calls this function.
    """
    frame = sys._getframe(1)
    while (
        frame.f_back is not None
        and frame.f_code.co_name == '__init__'
        and frame.f_locals.get('self') is module
    ):
        frame = frame.f_back
    return frame.f_code is build_from_cfg.__code__


def split_init_cfg(
    init_cfg: InitCfg,
) -> tuple[dict | None, list[dict[str, Any]]]:
    """Split `init_cfg` into pretrained weights and initialisations of layers.

    Args:
        init_cfg: One configuration, a list of them, or None.

    Returns:
        The configuration of type `Pretrained`, or None, and the list of all
        others.

    Raises:
        ValueError: If a configuration is incomplete, if several are of type
            `Pretrained`, or if that one has an unknown argument.
    """
    cfgs: list
    if isinstance(init_cfg, (list, tuple)):
        cfgs = list(init_cfg)
    else:
        cfgs = [] if init_cfg is None else [init_cfg]
    for cfg in cfgs:
        if not isinstance(cfg, Mapping) or not _is_complete(cfg):
            raise ValueError(
                "init_cfg must be None, dict(type='Pretrained', checkpoint="
                "FILE_OR_ADDRESS_OR_WEIGHTS), mmengine's initialisation of "
                "some layers, such as dict(type='Xavier', layer='Linear'), or "
                f'a list of these, got {init_cfg!r}'
            )
    pretrained = [cfg for cfg in cfgs if cfg['type'] == 'Pretrained']
    for name in (key for cfg in pretrained for key in cfg):
        if name not in _PRETRAINED_KEYS:
            closest = did_you_mean(name, _PRETRAINED_KEYS)
            hint = f' Did you mean {closest!r}?' if closest else ''
            raise ValueError(
                f"init_cfg of type 'Pretrained' has no argument {name!r}."
                f'{hint} It takes: {", ".join(_PRETRAINED_KEYS)}.'
            )
    if len(pretrained) > 1:
        raise ValueError(
            'init_cfg can load one checkpoint, got '
            f'{len(pretrained)}: {init_cfg!r}'
        )
    others = [cfg for cfg in cfgs if cfg['type'] != 'Pretrained']
    return (pretrained or [None])[0], others


def drop_pretrained(settings: Any) -> None:
    """Remove all pretrained weights from the settings of a model, in place.

    Args:
        settings: Settings of a model with all its parts, ours or a host's. An
            `init_cfg` that names a checkpoint is removed whole.
    """
    if isinstance(settings, list):
        for part in settings:
            drop_pretrained(part)
    elif isinstance(settings, dict):
        settings.pop('pretrained', None)
        cfgs = settings.get('init_cfg') or []
        cfgs = [cfgs] if isinstance(cfgs, Mapping) else cfgs
        if any(cfg.get('type') == 'Pretrained' for cfg in cfgs):
            del settings['init_cfg']
        for part in settings.values():
            drop_pretrained(part)


def _is_complete(cfg: Mapping[str, Any]) -> bool:
    """Return True if an initialisation has all the keys that it needs."""
    if cfg.get('type') == 'Pretrained':
        checkpoint = cfg.get('checkpoint')
        return bool(checkpoint) and isinstance(
            checkpoint, (str, os.PathLike, Mapping)
        )
    return 'type' in cfg and bool(cfg.get('layer') or cfg.get('override'))


def layer_from_cfg(cfg: dict, what: str) -> Any:
    """Return the class that a config names, with its arguments bound.

    Args:
        cfg: `type`, which is `LN` or the name of a class of `torch.nn`,
            arguments of that class, and `requires_grad`: if false, the
            layer's parameters are not trained.
        what: Name of the argument that holds the config, for the error.

    Raises:
        ValueError: If `torch.nn` has no such class.
    """
    kwargs = dict(cfg)
    name = kwargs.pop('type', None)
    is_trained = kwargs.pop('requires_grad', True)
    cls = nn.LayerNorm if name == 'LN' else getattr(nn, str(name), None)
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise ValueError(
            f'{what} must name a layer of torch.nn in "type", for instance '
            f'"LN" or "GELU", got {cfg!r}'
        )
    layer = partial(cls, **kwargs) if kwargs else cls
    return layer if is_trained else partial(_make_frozen, layer)


def _make_frozen(layer: Callable[..., nn.Module], *args: Any) -> nn.Module:
    """Make a layer whose parameters are not trained."""
    return layer(*args).requires_grad_(False)


def depths_and_heads(sizes: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Return the number of blocks and of heads of each stage.

    Args:
        sizes: Sizes with the keys `depths` and `num_heads`.

    Raises:
        ValueError: If the two have different numbers of stages.
    """
    depths, num_heads = sizes['depths'], sizes['num_heads']
    if len(depths) != len(num_heads):
        raise ValueError(
            'depths and num_heads need one number for each '
            f'stage, got {depths=} and {num_heads=}'
        )
    return list(zip(depths, num_heads))
