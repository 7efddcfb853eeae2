"""Lets configs of any place inherit those of this package.

mmengine 0.10 resolves `_base_ = 'mmdet::...'` for the packages of OpenMMLab
alone, and only for configs in a subfolder. Here `_base_ =
'swin_dense::cascade_swin_b_coco.py'` and mmengine's `get_config` and
`get_model` are resolved by `swin_dense.config_files`.

Remove this file once mmengine resolves configs of every installed package.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import ModuleType
from typing import Any

from swin_dense.compat import mending
from swin_dense.compat.shim import Shim
from swin_dense.config_files import PREFIX, config_names, find_config
from swin_dense.wording import did_you_mean

INHERITING = 'mmengine.config.config'
HUB = 'mmengine.hub.hub'


def install() -> None:
    """Extend mmengine's lookups, now or when they are imported.

    A second call does nothing.
    """
    mends = {INHERITING: extend_inheritance, HUB: extend_hub}
    for name, mend in mends.items():
        if name in sys.modules:
            with mend(sys.modules[name]):
                pass
    mending.install(mends)


@contextmanager
def extend_inheritance(module: ModuleType) -> Iterator[None]:
    """Let `_base_` name configs of this package."""
    yield
    config_class = module.Config
    if hasattr(config_class._get_cfg_path, '__wrapped__'):
        return
    find_base = config_class._get_cfg_path

    @wraps(find_base)
    def find_any_base(cfg_path: str, filename: str) -> tuple[str, str | None]:
        if cfg_path.startswith(PREFIX):
            # Without a scope: the config is read as if it lay beside.
            return resolve(cfg_path), None
        return find_base(cfg_path, filename)

    config_class._get_cfg_path = staticmethod(find_any_base)


@contextmanager
def extend_hub(module: ModuleType) -> Iterator[None]:
    """Let `get_config` and `get_model` take configs of this package."""
    yield
    if hasattr(module.get_config, '__wrapped__'):
        return
    extended = _with_configs_of_ours(module.get_config)
    for user in (module, sys.modules.get('mmengine.hub')):
        if hasattr(user, 'get_config'):
            user.get_config = extended  # type: ignore[union-attr]


def _with_configs_of_ours(get_config: Callable) -> Callable:
    @wraps(get_config)
    def get_any_config(cfg_path: str, pretrained: bool = False) -> Any:
        if not cfg_path.startswith(PREFIX):
            return get_config(cfg_path, pretrained)
        if pretrained:
            raise ValueError(
                f'{cfg_path}: swin_dense publishes no weights of whole '
                'models; use pretrained=False and load a checkpoint of yours'
            )
        return sys.modules[INHERITING].Config.fromfile(resolve(cfg_path))

    return get_any_config


def resolve(cfg_path: str) -> str:
    """Return the file that `swin_dense::...` stands for.

    Raises:
        FileNotFoundError: If there is no such config.
    """
    path = find_config(cfg_path)
    if path is None:
        name = cfg_path.removeprefix(PREFIX).removesuffix('.py')
        close = did_you_mean(name, config_names())
        hint = (
            f'did you mean {PREFIX}{close}.py?'
            if close
            else f'the recipes are: {", ".join(config_names())}'
        )
        raise FileNotFoundError(f'there is no config {cfg_path}; {hint}')
    return str(path)


SHIM = Shim(
    name='config_lookup',
    reason="mmengine 0.10 resolves `_base_ = 'mmdet::...'` for OpenMMLab's "
    "own packages alone; this adds `_base_ = 'swin_dense::...'`.",
    removal='Install an mmengine that resolves configs of every package.',
    symptom='_get_package_and_cfg_path|does not support to load swin_dense',
    install=install,
    find_obstacle=lambda: '',
)
