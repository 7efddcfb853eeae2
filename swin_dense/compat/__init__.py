"""Lets today's OpenMMLab wheels run on today's PyTorch.

Each module repairs one problem, and can be removed once upstream has fixed it.
`python -m swin_dense.compat` lists the shims, and the environment variable
`SWIN_DENSE_COMPAT` says which of them are applied: `0` for none, or their
names, separated by commas. All are applied by default.
"""

import os

from swin_dense.compat import (
    back_port,
    config_lookup,
    mmaction_imports,
    mmcv_ext,
    mmdet_checkpointing,
    mmdet_language,
    package_lookup,
    weights_only,
)
from swin_dense.compat.shim import Shim

VARIABLE = 'SWIN_DENSE_COMPAT'
SHIMS: tuple[Shim, ...] = (
    mmcv_ext.SHIM,
    weights_only.SHIM,
    back_port.SHIM,
    mmaction_imports.SHIM,
    mmdet_checkpointing.SHIM,
    mmdet_language.SHIM,
    package_lookup.SHIM,
    config_lookup.SHIM,
)


def apply() -> None:
    """Install the chosen shims. Cheap, silent, and safe to call again."""
    for shim in chosen_shims():
        shim.install()


def chosen_shims() -> tuple[Shim, ...]:
    """Return the shims that the environment variable asks for.

    Raises:
        ValueError: If the variable names an unknown shim.
    """
    value = os.environ.get(VARIABLE, '').strip()
    if value in ('', '1'):
        return SHIMS
    if value == '0':
        return ()
    names = [name.strip() for name in value.split(',')]
    known = [shim.name for shim in SHIMS]
    for name in names:
        if name not in known:
            raise ValueError(
                f'{VARIABLE}={value}: there is no shim {name!r}. Set 0 to '
                'apply none, 1 to apply all, or some of these, separated by '
                f'commas: {", ".join(known)}'
            )
    return tuple(shim for shim in SHIMS if shim.name in names)


def why_inactive(shim: Shim) -> str:
    """Return why a shim changes nothing in this process; '' if it does."""
    if shim not in chosen_shims():
        return f'switched off by {VARIABLE}={os.environ[VARIABLE]}'
    return shim.find_obstacle()


def describe_shims() -> str:
    """Return a block of lines for each shim: state, reason, removal."""
    blocks = []
    for shim in SHIMS:
        obstacle = why_inactive(shim)
        state = f'not active: {obstacle}' if obstacle else 'active'
        blocks.append(
            f'{shim.name} ({state})\n'
            f'  why:    {shim.reason}\n'
            f'  remove: {shim.removal}'
        )
    return '\n'.join(blocks)


def explain_error(text: str) -> str:
    """Return which shim that was switched off would prevent an error.

    Args:
        text: Text of the error, and of those that caused it.

    Returns:
        A sentence, or '' if no such shim is switched off.
    """
    chosen = chosen_shims()
    names = [
        shim.name
        for shim in SHIMS
        if shim not in chosen and shim.explains(text)
    ]
    if not names:
        return ''
    return (
        f'{VARIABLE}={os.environ[VARIABLE]} switches off '
        f'{" and ".join(names)}, which would prevent this error; `python -m '
        'swin_dense.compat` describes the shims'
    )
