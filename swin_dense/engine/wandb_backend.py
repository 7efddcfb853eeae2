"""Log to Weights & Biases so that curves have iterations below them."""

from typing import Any

from mmengine.config import Config
from mmengine.visualization import WandbVisBackend
from mmengine.visualization.vis_backend import force_init_env

from swin_dense.registry import VISBACKENDS

ITERATION = 'iteration'


@VISBACKENDS.register_module()
class WandbBackend(WandbVisBackend):
    """mmengine's backend, with each value at its iteration.

    mmengine leaves the iterations out, so that wandb counts log lines in
    their place, and it uploads the Python files of the current folder. Here
    no code is uploaded.

    Arguments are those of mmengine's backend.
    """

    def _init_env(self) -> None:
        """Start a run of wandb.

        Raises:
            ValueError: If wandb refuses, for instance without a login.
        """
        import wandb

        try:
            super()._init_env()
        except wandb.errors.Error as error:
            reason = str(error).strip().rstrip('.')
            raise ValueError(
                f'wandb cannot start: {reason}. Log in by `wandb login`, or '
                'set WANDB_MODE=offline to log into the work folder alone'
            ) from error
        wandb.define_metric(ITERATION)
        wandb.define_metric('*', step_metric=ITERATION)

    @force_init_env
    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Record the config of the run."""
        self._wandb.config.update(config.to_dict(), allow_val_change=True)

    def add_scalar(
        self, name: str, value: Any, step: int = 0, **kwargs: Any
    ) -> None:
        """Log a number at an iteration."""
        self.add_scalars({name: value}, step)

    @force_init_env
    def add_scalars(
        self,
        scalar_dict: dict,
        step: int = 0,
        file_path: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Log numbers at an iteration.

        Args:
            scalar_dict: Numbers by their names.
            step: The iteration.
            file_path: Not used.
            kwargs: Not used.
        """
        self._wandb.log({**scalar_dict, ITERATION: step})

    def close(self) -> None:
        """Finish the run of wandb."""
        if hasattr(self, '_wandb'):
            self._wandb.finish()
