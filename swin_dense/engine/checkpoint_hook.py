"""Save checkpoints so that one is intact at any moment."""

from collections import deque
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook

from swin_dense.engine.early_checks import check_save_best
from swin_dense.engine.nonfinite_guard import last_step_is_finite
from swin_dense.files import remove_leftovers, replacing
from swin_dense.registry import HOOKS


class _RemoveLater:
    """A file backend that collects removals and does them when asked."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._outdated: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self._outdated[path] = self._backend.remove

    def rmtree(self, path: str) -> None:
        self._outdated[path] = self._backend.rmtree

    def do(self, keep: Any) -> None:
        """Do the collected removals, except of paths in `keep`."""
        for path, remove in self._outdated.items():
            if path not in keep:
                remove(path)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's hook, which removes an old file after the new is complete.

    mmengine removes a checkpoint beyond `max_keep_ckpts`, or the best so far,
    before it writes the next; a run that is killed in between has no
    checkpoint left. Here, a checkpoint beyond `max_keep_ckpts` is removed
    after the next training step that is finite, since an update that ruins a
    model shows in the step that follows. `last_checkpoint` is replaced
    atomically, too. A resumed checkpoint may name a best checkpoint in another
    folder: only the file of this name in this run's folder is ever removed.
    The arguments are mmengine's.
    """

    # Set by mmengine.
    file_backend: Any
    max_keep_ckpts: int
    save_best: Any

    def before_train(self, runner: Any) -> None:
        """Prepare the folder, and clean up after a killed run.

        Raises:
            ValueError: If `save_best` is no value of the validation.
        """
        evaluator = getattr(runner.val_loop, 'evaluator', None)
        if self.save_best and evaluator is not None:
            check_save_best(self.save_best, evaluator.metrics)
        limit = self.max_keep_ckpts
        self.max_keep_ckpts = -1  # nothing is removed yet
        try:
            super().before_train(runner)
        finally:
            self.max_keep_ckpts = limit
        self.keep_ckpt_ids = deque(
            runner.message_hub.runtime_info.get('keep_ckpt_ids', [])
        )
        # A resumed checkpoint names files that are removed later on.
        best = getattr(self, 'best_ckpt_path', None)
        if best:
            self.best_ckpt_path = self._in_this_folder(best)
        for key, path in getattr(self, 'best_ckpt_path_dict', {}).items():
            self.best_ckpt_path_dict[key] = path and self._in_this_folder(path)
        if is_main_process() and Path(self.out_dir).is_dir():
            for path in remove_leftovers(Path(self.out_dir)):
                runner.logger.warning(
                    f'Removed {path}, an unfinished checkpoint of a run that '
                    'was killed'
                )

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Remove outdated checkpoints, then save if it is time."""
        if last_step_is_finite(runner):
            self._remove_outdated(runner)
        super().after_train_iter(runner, *args, **kwargs)

    def after_train(self, runner: Any) -> None:
        """Remove outdated checkpoints and publish, at the end."""
        if last_step_is_finite(runner):
            self._remove_outdated(runner)
        super().after_train(runner)

    def _remove_outdated(self, runner: Any) -> None:
        """Remove checkpoints beyond `max_keep_ckpts`, the oldest first."""
        if self.max_keep_ckpts <= 0:
            return
        while len(self.keep_ckpt_ids) > self.max_keep_ckpts:
            path = self._path(self.keep_ckpt_ids.popleft())
            if not is_main_process():
                continue
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
            elif self.file_backend.isdir(path):  # saved by DeepSpeed
                self.file_backend.rmtree(path)

    def _save_checkpoint_with_step(
        self, runner: Any, step: int, meta: dict
    ) -> None:
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info(
                'keep_ckpt_ids', list(self.keep_ckpt_ids)
            )
        self.last_ckpt = self._path(step)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            self.filename_tmpl.format(step),
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if not is_main_process():
            return
        with replacing(Path(runner.work_dir, 'last_checkpoint')) as path:
            path.write_text(self.last_ckpt)

    def _save_best_checkpoint(self, runner: Any, metrics: dict) -> None:
        backend: Any = self.file_backend
        later = _RemoveLater(backend)
        self.file_backend = later
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = backend
        best = getattr(self, 'best_ckpt_path_dict', {}).values()
        later.do(
            {self.last_ckpt, getattr(self, 'best_ckpt_path', None), *best}
        )

    def _in_this_folder(self, path: str) -> str | None:
        """Return the best checkpoint of that name in this run's folder."""
        name = Path(path).name
        if not name.startswith('best_'):
            return None
        return self.file_backend.join_path(self.out_dir, name)

    def _path(self, step: int) -> str:
        return self.file_backend.join_path(
            self.out_dir, self.filename_tmpl.format(step)
        )
