"""Send the values that a training logs to TensorBoard or to wandb."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config

# Option: mmengine's backend and the packages of which one serves.
TRACKERS = {
    'tensorboard': ('TensorboardVisBackend', ('tensorboard', 'tensorboardX')),
    'wandb': ('swin_dense.WandbBackend', ('wandb',)),
}


def add_tracker(cfg: Config, name: str) -> None:
    """Let a training also log to a tracker, in place.

    Args:
        cfg: The config.
        name: 'tensorboard', which writes into the log folder of the run, or
            'wandb', whose run is named after the work folder.

    Raises:
        ValueError: If its package is not installed.
    """
    kind, packages = TRACKERS[name]
    if not any(find_spec(package) for package in packages):
        raise ValueError(
            f'--{name} needs the package {packages[0]}: pip install '
            f"'swin_dense[log]', or pip install {packages[0]}"
        )
    backend: dict[str, Any] = {'type': kind}
    if name == 'wandb':
        backend['init_kwargs'] = {
            'project': 'swin_dense',
            'name': Path(cfg.work_dir).name,
        }
    if cfg.get('visualizer') is None:
        cfg.visualizer = {'type': 'Visualizer'}
    backends = cfg.visualizer.get('vis_backends') or [
        {'type': 'LocalVisBackend'}
    ]
    if not any(each.get('type') == kind for each in backends):
        cfg.visualizer.vis_backends = [*backends, backend]
