"""Reading the arguments that the hosts' configs give to a backbone."""

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from inspect import signature
from typing import Any

from torch import nn

# Name of a size, or the sizes themselves.
Arch = str | dict[str, Any]
# An initialisation of mmengine, or several.
InitCfg = dict | Sequence[dict] | None


def reject_unknown(cls: type, unknown: dict[str, Any]) -> None:
    """Refuse arguments that a class does not have.

    Raises:
        TypeError: If there are any; names the nearest that exists.
    """
    known = [name for name in signature(cls).parameters if name != 'unknown']
    for name in unknown:
        near = get_close_matches(name, known, n=1)
        hint = f' Did you mean {near[0]!r}?' if near else ''
        raise TypeError(
            f'{cls.__name__} has no argument {name!r}.{hint} '
            f'It takes: {", ".join(known)}.'
        )


def arch_sizes(arch: Arch, archs: Mapping[str, dict]) -> dict[str, Any]:
    """Return the sizes of an architecture.

    Args:
        arch: A name or its first letter, in any case, or a dictionary of
            sizes.
        archs: Sizes by name. What one has and another has not is optional.

    Raises:
        ValueError: If there is no such architecture, or the dictionary lacks
            a size or has another.
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


def pretrained_cfg(pretrained: str | None, init_cfg: InitCfg) -> InitCfg:
    """Return `init_cfg`, or what the old argument `pretrained` stands for.

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


def split_init_cfg(
    init_cfg: InitCfg,
) -> tuple[dict | None, list[dict[str, Any]]]:
    """Split `init_cfg` into pretrained weights and initialisations of layers.

    Args:
        init_cfg: One configuration, several, or None.

    Returns:
        The one of type `Pretrained`, if any, and all others.

    Raises:
        ValueError: If one of them is incomplete, or more than one is
            `Pretrained`.
    """
    several = isinstance(init_cfg, (list, tuple))
    cfgs: list = (
        list(init_cfg or ())
        if several
        # type: ignore
        else ([] if init_cfg is None else [init_cfg])
    )
    for cfg in cfgs:
        if not isinstance(cfg, Mapping) or not _is_complete(cfg):
            raise ValueError(
                "init_cfg must be None, dict(type='Pretrained', checkpoint="
                "FILE_OR_ADDRESS_OR_WEIGHTS), mmengine's initialisation of "
                "some layers, such as dict(type='Xavier', layer='Linear'), or "
                f'a list of these, got {init_cfg!r}'
            )
    pretrained = [cfg for cfg in cfgs if cfg['type'] == 'Pretrained']
    if len(pretrained) > 1:
        raise ValueError(
            'init_cfg can load one checkpoint, got '
            f'{len(pretrained)}: {init_cfg!r}'
        )
    others = [cfg for cfg in cfgs if cfg['type'] != 'Pretrained']
    return (pretrained or [None])[0], others


def _is_complete(cfg: Mapping[str, Any]) -> bool:
    """Return True if an initialisation says what it needs."""
    if cfg.get('type') == 'Pretrained':
        checkpoint = cfg.get('checkpoint')
        return bool(checkpoint) and isinstance(
            checkpoint, (str, os.PathLike, Mapping)
        )
    return 'type' in cfg and bool(cfg.get('layer') or cfg.get('override'))


def layer_from_cfg(cfg: dict, what: str) -> Any:
    """Return the class, with its arguments bound, of a config such as `GELU`.

    Args:
        cfg: `type` is `LN` or the name of a class of `torch.nn`; the rest are
            arguments.
        what: Name of the config in the error.

    Raises:
        ValueError: If there is no such class.
    """
    kwargs = {k: v for k, v in cfg.items() if k != 'requires_grad'}
    name = kwargs.pop('type', None)
    cls = nn.LayerNorm if name == 'LN' else getattr(nn, str(name), None)
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise ValueError(
            f'{what} must name a layer of torch.nn in "type", for instance '
            f'"LN" or "GELU", got {cfg!r}'
        )
    return partial(cls, **kwargs) if kwargs else cls


def depths_and_heads(sizes: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Return blocks and heads of each stage.

    Args:
        sizes: With `depths` and `num_heads`.

    Raises:
        ValueError: If one has more stages than the other.
    """
    depths, num_heads = sizes['depths'], sizes['num_heads']
    if len(depths) != len(num_heads):
        raise ValueError(
            'depths and num_heads need one number for each '
            f'stage, got {depths=} and {num_heads=}'
        )
    return list(zip(depths, num_heads))
