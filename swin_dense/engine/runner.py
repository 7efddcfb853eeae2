"""Run a config: strict loading, checkpoints that survive a kill."""

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import count
from pathlib import Path
from typing import Any

from mmengine.device import get_device
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import CheckpointHook, LoggerHook
from mmengine.logging import MMLogger
from mmengine.model import (
    BaseTTAModel,
    is_model_wrapper,
    revert_sync_batchnorm,
)
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine.runner.base_loop import BaseLoop
from mmengine.visualization import Visualizer
from torch import nn
from torch.utils.data import DataLoader

from swin_dense.checkpoints.convert import format_lists
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.metadata import with_record
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.checkpoints.layouts.translate import (
    describe_choice,
    extract_state_dict,
)
from swin_dense.checkpoints.load import load_model
from swin_dense.checkpoints.pretrained_windows import window_record
from swin_dense.checkpoints.report import LoadReport
from swin_dense.data.wrappers import class_names_of
from swin_dense.engine.auxiliary_losses import add_auxiliary_losses
from swin_dense.engine.certificate import NAME as CERTIFICATE
from swin_dense.engine.certificate import hash_weights, make_certificate
from swin_dense.engine.checkpoint_hook import SafeCheckpointHook
from swin_dense.engine.cli import write_json
from swin_dense.engine.compile import compile_backbone
from swin_dense.engine.dead_training import DeadTrainingHook
from swin_dense.engine.early_checks import (
    check_channels,
    check_settings,
    tolerate_full_disk,
)
from swin_dense.engine.exact_resume import (
    ExactResumeHook,
    check_name,
    gather_gradients,
    name_changes,
    restore_gradients,
)
from swin_dense.engine.load_reports import (
    LOAD_REPORT,
    backbone_reports,
    write_load_reports,
)
from swin_dense.engine.loading import (
    check_length,
    end_with_parent,
    explain_empty,
    explain_time_limit,
    with_time_limit,
)
from swin_dense.engine.logger_hook import FollowableLoggerHook
from swin_dense.engine.new_folder import NewFolder
from swin_dense.engine.nonfinite_guard import NonFiniteGuard, check_saved
from swin_dense.engine.out_of_memory import MemoryHook
from swin_dense.engine.progress import show_progress
from swin_dense.engine.resume import find_latest
from swin_dense.engine.run_log import quieten_console
from swin_dense.engine.train_loops import exact_loop
from swin_dense.engine.training_curves import write_results
from swin_dense.engine.training_state import check_state, trim
from swin_dense.engine.work_dir_lock import (
    WorkDirInUseError,
    WorkDirLock,
    check_not_training,
    hold_work_dir,
)
from swin_dense.files import replacing
from swin_dense.registry import RUNNERS

_HOOKS = {
    CheckpointHook: SafeCheckpointHook,
    LoggerHook: FollowableLoggerHook,
}
_Renaming = Sequence[tuple[str, str]]
_WITHOUT_WRAPPER: _Renaming = ((r'^module\.', ''),)
# Time stamps of the runs of this process.
_STAMPS: set[str] = set()


@contextmanager
def _gathered(optimizer: Any) -> Iterator[None]:
    """Reuse the optimizer state that was just gathered.

    mmengine's `ZeroRedundancyOptimizer` gathers on every call of
    `state_dict()`. All processes have to gather together, so a call in the
    main process alone would wait for ever; in this context it gathers nothing.
    """
    optimizer.consolidate_state_dict = lambda to=0: None
    try:
        yield
    finally:
        del optimizer.consolidate_state_dict


@RUNNERS.register_module()
class DenseRunner(Runner):
    """mmengine's runner for configs with `runner_type` set to this one.

    - Weights load strictly: a checkpoint of another model is an error.
      Training may start from a checkpoint of other classes: `load_from` leaves
      the layers that depend on the classes at their initial values, and
      `copy_classes=True` in the config copies rows of classes of the same
      name. NaN or infinite weights are an error unless a pattern of
      `allow_nonfinite` in the config matches the parameter name.
    - Each run writes what it loaded to `load_report.json`.
    - Files are read as data, and nothing in them is executed. The state of a
      resumed training is compared with this run's before any of it is loaded.
    - A checkpoint gets its name when it is complete and can be read back; the
      previous checkpoint is removed afterwards. `CheckpointHook` in a config
      means `SafeCheckpointHook`.
    - Validations are logged at their iteration, and `results.csv` and
      `curves.png` show the training. `LoggerHook` in a config means
      `FollowableLoggerHook`.
    - A run that fails before its first iteration leaves no folder.
    - Automatic resuming takes the newest intact checkpoint.
    - One run at a time trains in a work folder. Tests have their own log
      folders, and do not replace the config of the training.
    - Data loaders wait at most ten minutes for a batch, unless their config
      sets `timeout`.
    - `compile_backbone` in the config names a backend of `torch.compile` for
      the backbone, or gives its arguments.
    - On CPUs SyncBN becomes BN: each process normalises by its own images.

    mmengine's private members that are used here are listed in
    `docs/notes/compatibility.md`.
    """

    # Attributes of mmengine's runner that this module uses.
    _timestamp: str
    _load_from: str | None
    optim_wrapper: Any
    param_schedulers: Any
    # Of an update that a checkpoint was saved in the middle of.
    accumulated_gradients: dict[str, Any]
    certificate: dict[str, Any]
    # True to log every name of the load reports.
    logs_load_lists = False
    # Objects to resume besides the weights; None outside of `resume`.
    _resumed: dict[str, Any] | None = None
    _other_classes = 'refuse'
    _lock: WorkDirLock | None = None
    # True after the first iteration of a training, or the first batch of a
    # test.
    has_started = False
    _new_folder: NewFolder | None = None

    def __init__(
        self, model: Any, work_dir: str, *args: Any, **kwargs: Any
    ) -> None:
        self._new_folder = NewFolder(work_dir)
        with self._removing_failed_start():
            super().__init__(model, work_dir, *args, **kwargs)

    @contextmanager
    def _removing_failed_start(self) -> Iterator[None]:
        """Remove the folder of a run that ends before its first iteration.

        Files that were there before stay.
        """
        try:
            yield
        except BaseException:
            if is_main_process() and not self.has_started:
                self._remove_folder()
            raise

    def _remove_folder(self) -> None:
        """Remove the log folder, and the work folder if it is of this run."""
        folder = getattr(self, '_log_dir', None)
        if folder is None:
            return  # the run has not made it
        logger: Any = getattr(self, 'logger', None)
        for handler in [*getattr(logger, 'handlers', ())]:
            if isinstance(handler, logging.FileHandler):
                handler.close()
                logger.removeHandler(handler)
        shutil.rmtree(folder, ignore_errors=True)
        if self._new_folder is not None:
            self._new_folder.remove()

    def build_visualizer(self, visualizer: Any = None) -> Visualizer:
        """Build the visualizer, a new one for each run.

        By the name in a config, mmengine would return that of an earlier run
        of this process, and write into the folder of that run.
        """
        if isinstance(visualizer, dict):
            visualizer = dict(visualizer, name=self.experiment_name)
        return super().build_visualizer(visualizer)

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger, whose console leaves out lines for the file."""
        logger = super().build_logger(*args, **kwargs)
        quieten_console(logger)
        tolerate_full_disk(logger)
        return logger

    def register_hook(self, hook: Any, *args: Any, **kwargs: Any) -> None:
        """Register a hook; those that are ours replace mmengine's."""
        for theirs, ours in _HOOKS.items():
            if isinstance(hook, dict) and hook.get('type') in (
                theirs.__name__,
                f'mmengine.{theirs.__name__}',
                theirs,
            ):
                hook = {**hook, 'type': ours}
        super().register_hook(hook, *args, **kwargs)

    def register_hooks(self, *args: Any, **kwargs: Any) -> None:
        """Register hooks, and those that every run has."""
        super().register_hooks(*args, **kwargs)
        for kind in (
            ExactResumeHook,
            MemoryHook,
            NonFiniteGuard,
            DeadTrainingHook,
        ):
            if not any(isinstance(hook, kind) for hook in self.hooks):
                self.register_hook(kind())

    def build_train_loop(self, loop: Any) -> BaseLoop:
        """Build a training loop, one that can go on at any iteration."""
        return super().build_train_loop(exact_loop(loop))

    def setup_env(self, env_cfg: dict) -> None:
        """Set up the processes; give the run a time stamp of its own.

        It is the name of the log folder, and part of the name by which
        mmengine finds the default scope, the logger and the visualizer of a
        run: a second run of this name would get those of the first.
        """
        super().setup_env(env_cfg)
        self.certificate = {}
        self._load_reports: list[LoadReport] = []
        stamps = [self._timestamp]
        if is_main_process():
            stamps = [self._make_log_folder().name]
        broadcast_object_list(stamps)
        self._timestamp = stamps[0]

    def _make_log_folder(self) -> Path:
        """Make the log folder; other runs may begin in the same second."""
        for number in count(1):
            stamp = self._timestamp + (f'_{number}' if number > 1 else '')
            folder = Path(self.work_dir, stamp)
            if stamp in _STAMPS:
                continue
            try:
                folder.mkdir(parents=True)
            except FileExistsError:  # of another process
                continue
            _STAMPS.add(stamp)
            break
        return folder

    def dump_config(self) -> None:
        """Do nothing yet: another run may be training in the folder."""

    def _write_config(self, folder: str) -> None:
        """Write the config into a folder, unless its file is there."""
        if not is_main_process():
            return
        source = Path(self.cfg.filename or f'{self.timestamp}.py')
        name = source.name
        target = Path(folder, name)
        if target.exists() and source.exists() and target.samefile(source):
            return
        with replacing(target) as partial:
            # The suffix decides the format.
            draft = partial.with_suffix(Path(name).suffix)
            self.cfg.dump(str(draft))
            os.replace(draft, partial)

    def _is_beside_training(self) -> bool:
        """Return True if another run trains in the work folder."""
        if self._lock is not None:
            return False
        try:
            check_not_training(self.work_dir)
        except WorkDirInUseError:
            return True
        return False

    def _record_loads(self) -> None:
        """Write `load_report.json`, and log its lists if they are wanted.

        It goes into the work folder, or into the run's log folder while
        another run trains in the work folder.
        """
        if not is_main_process():
            return
        reports = [
            *backbone_reports(self._bare_model()),
            *(('model', report) for report in self._load_reports),
        ]
        folder = self.log_dir if self._is_beside_training() else self.work_dir
        write_load_reports(Path(folder, LOAD_REPORT), reports)
        if self.logs_load_lists:
            for part, report in reports:
                self.logger.info(
                    f'Loaded into {part} from {report.label}:\n'
                    f'{format_lists(report, verbose=True)}'
                )

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """Call hooks; update the lock's time stamp for other hosts."""
        if self._lock is not None:
            self._lock.give_sign_of_life()
        if fn_name in (
            'after_train_iter',
            'after_val_iter',
            'after_test_iter',
        ):
            self.has_started = True
        super().call_hook(fn_name, **kwargs)
        if fn_name == 'before_train':
            # All is built, checked and loaded: the run replaces an older one.
            self._write_config(self.work_dir)

    def wrap_model(
        self, model_wrapper_cfg: dict | None, model: nn.Module
    ) -> nn.Module:
        """Wrap the model for several processes; replace SyncBN on CPUs.

        A model with experts also returns their auxiliary losses.
        """
        if self.distributed and get_device() == 'cpu':
            model = revert_sync_batchnorm(model)
        add_auxiliary_losses(model)
        compile_backbone(model, self.cfg.get('compile_backbone'))
        return super().wrap_model(model_wrapper_cfg, model)

    def train(self) -> nn.Module:
        """Train; `load_from` may be a checkpoint of other classes.

        Raises:
            ValueError: If `copy_classes` is set and there is no checkpoint to
                copy from, or a number in the config cannot work.
        """
        copying = self.cfg.get('copy_classes')
        with self._removing_failed_start():
            if copying and not (self._load_from or self._resume):
                raise ValueError(
                    'copy_classes=True needs a checkpoint to copy from: set '
                    'load_from=FILE in the config, or leave copy_classes out'
                )
            check_settings(self.cfg)
            check_channels(self._bare_model())
        self._other_classes = 'copy' if copying else 'reinitialise'
        try:
            with (
                self._removing_failed_start(),
                hold_work_dir(self.work_dir) as self._lock,
            ):
                self._prepare_resuming()
                with explain_time_limit(), show_progress(self):
                    model = super().train()
                self._write_certificate(iterations=self.iter)
                return model
        finally:
            self._lock = None
            self._other_classes = 'refuse'
            if is_main_process() and self.has_started:
                self._write_results()

    def _write_results(self) -> None:
        """Write the table and the curves of the training; log where."""
        files = write_results(self.work_dir)
        if files:
            names = ' and '.join(map(str, files))
            self.logger.info(f'Results and curves: {names}')

    def _prepare_resuming(self) -> None:
        """Find the checkpoint to resume, and take over the seed of its run."""
        source = self._resume and (
            self._load_from or find_latest(Path(self.work_dir))
        )
        if not source:
            return
        self._load_from = str(source)
        checkpoint = read_checkpoint(source, mmap=True, check=False)
        meta = checkpoint.get('meta')
        seed = meta.get('seed') if isinstance(meta, dict) else None
        if type(seed) is not int or not 0 <= seed < 1 << 32:
            return  # resuming refuses it with a message
        if seed == self.seed:
            return
        if self._randomness_cfg.get('seed') is not None:
            self.logger.warning(
                f'{source} is of a run with seed {seed}, which is used '
                f'instead of seed {self.seed} of the config'
            )
        self._randomness_cfg.update(seed=seed)
        self.set_randomness(**self._randomness_cfg)

    def val(self) -> dict:
        """Validate."""
        self._write_config(self.log_dir)
        with (
            self._removing_failed_start(),
            explain_time_limit(),
            show_progress(self),
        ):
            return super().val()

    def test(self) -> dict:
        """Test."""
        self._write_config(self.log_dir)
        with (
            self._removing_failed_start(),
            explain_time_limit(),
            show_progress(self),
        ):
            return super().test()

    def write_pictures(self) -> list[Path]:
        """Write the pictures that the metrics of the last test can draw.

        Returns:
            The files, in the log folder of the run.
        """
        paths: list[Path] = []
        for metric in self.test_evaluator.metrics:
            write = getattr(metric, 'write_pictures', None)
            if write:
                paths += write(Path(self.log_dir))
        return paths

    @staticmethod
    def build_dataloader(
        dataloader: Any, *args: Any, **kwargs: Any
    ) -> DataLoader:
        """Build a data loader with a time limit, and check for batches.

        Its processes end with this one.
        """
        with explain_empty(dataloader):
            loader = Runner.build_dataloader(
                with_time_limit(dataloader), *args, **kwargs
            )
        check_length(loader)
        end_with_parent(loader)
        return loader

    def load_or_resume(self) -> None:
        """Load or resume as configured, once; write the load report."""
        if not self._has_loaded:
            self._load_as_configured()
        self._record_loads()
        self._write_certificate()

    def _write_certificate(self, **result: Any) -> None:
        """Write what decides this training, and its result if it is over."""
        if self._lock is None or not self.cfg.get('train_dataloader'):
            return
        weights = self._bare_model().state_dict()
        if result:
            result['weights'] = hash_weights(weights)
            self.certificate['result'] = result
        elif not self.certificate:  # a run that is resumed has one
            self.certificate = make_certificate(
                self.cfg, self.seed, self.world_size, weights
            )
        if is_main_process():
            write_json(Path(self.work_dir, CERTIFICATE), self.certificate)

    def _load_as_configured(self) -> None:
        if not self._resume:
            if self._load_from is not None:
                self._load(self._load_from, other_classes=self._other_classes)
            return
        source = self._load_from or find_latest(Path(self.work_dir))
        if source is None:
            self.logger.info(
                f'Nothing to resume in {self.work_dir}: training '
                'starts from the beginning'
            )
            return
        self.resume(str(source))

    def load_checkpoint(
        self,
        filename: str,
        map_location: str | Callable = 'cpu',
        strict: bool = True,
        revise_keys: _Renaming = _WITHOUT_WRAPPER,
    ) -> dict:
        """Load the weights of a checkpoint.

        Args:
            filename: Path or address.
            map_location: Device for the tensors.
            strict: Whether model and checkpoint must have the same parameter
                names and shapes. If false, the log reports the differences.
            revise_keys: Patterns and replacements for the checkpoint's names.

        Returns:
            The checkpoint.

        Raises:
            CheckpointError: If the checkpoint cannot be read or is not for
                this model.
        """
        return self._load(filename, map_location, strict, revise_keys)

    def _load(
        self,
        filename: str,
        map_location: str | Callable = 'cpu',
        strict: bool = True,
        revise_keys: _Renaming = _WITHOUT_WRAPPER,
        other_classes: str = 'refuse',
    ) -> dict:
        checkpoint = trim(read_checkpoint(filename, map_location))
        if self._resumed is not None:
            self._check_resumable(checkpoint, filename)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        if describe_choice(checkpoint):
            self.logger.info(f'{filename}: {describe_choice(checkpoint)}')
        weights = extract_state_dict(checkpoint)
        for pattern, replacement in revise_keys:
            weights = {
                re.sub(pattern, replacement, name): value
                for name, value in weights.items()
            }
        report = load_model(
            self._bare_model(),
            {'meta': checkpoint.get('meta'), 'state_dict': weights},
            classes=self._class_names(),
            other_classes=other_classes,
            forgive=() if strict else ('*',),
            allow_nonfinite=self.cfg.get('allow_nonfinite', ()),
            label=str(filename),
        )
        self._load_reports.append(report)
        self._has_loaded = True
        return checkpoint

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: str | Callable = 'default',
    ) -> None:
        """Resume weights, optimizer, schedules, counters and histories.

        Args:
            filename: Path or address.
            resume_optimizer: Whether to resume the state of the optimizer.
            resume_param_scheduler: Whether to resume the schedules.
            map_location: Device for the tensors; this process's by default.

        Raises:
            CheckpointError: If the checkpoint cannot be read, is not for this
                model, holds weights only, or its state does not fit this run.
        """
        self._resumed = {}
        if resume_optimizer:
            self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
            self._resumed['optim_wrapper'] = self.optim_wrapper
        if resume_param_scheduler and self.param_schedulers is not None:
            self.param_schedulers = self.build_param_scheduler(
                self.param_schedulers
            )
            self._resumed['param_schedulers'] = self.param_schedulers
        try:
            super().resume(
                filename,
                resume_optimizer,
                resume_param_scheduler,
                map_location,
            )
        finally:
            self._resumed = None
        checkpoint = read_checkpoint(filename, mmap=True, check=False)
        check_name(checkpoint, str(filename), self.logger)
        if resume_optimizer:
            restore_gradients(
                self.model,
                self.optim_wrapper,
                checkpoint,
                self.logger,
                str(filename),
            )
        self._compare(checkpoint.get('certificate'))
        self._say_if_over(filename)

    def _say_if_over(self, filename: str) -> None:
        """Warn if a resumed training is already at its end."""
        loop = self._train_loop
        if not isinstance(loop, BaseLoop):
            return
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        done, end = (
            (self.epoch, self.max_epochs)
            if by_epoch
            else (self.iter, self.max_iters)
        )
        if done >= end:
            unit, key = (
                ('epochs', 'max_epochs')
                if by_epoch
                else ('iterations', 'max_iters')
            )
            self.logger.warning(
                f'{filename} is the end of this training, {done} of {end} '
                f'{unit}: nothing is left to train. A larger '
                f'train_cfg.{key} would go on'
            )

    def _compare(self, old: Any) -> None:
        """Name what has changed since the run that is resumed."""
        if not self.cfg.get('train_dataloader'):
            return
        new = make_certificate(self.cfg, self.seed, self.world_size)
        name_changes(old, new, self.logger)
        if isinstance(old, dict) and old.get('start'):
            self.certificate = {**new, 'start': old['start']}

    def _check_resumable(self, checkpoint: dict, filename: str) -> None:
        """Raise unless training can resume from a checkpoint.

        Raises:
            CheckpointError: If entries are absent or do not fit this run.
        """
        resumed = self._resumed or {}
        required = ['meta', 'message_hub']
        required += ['optimizer'] if 'optim_wrapper' in resumed else []
        absent = [key for key in required if key not in checkpoint]
        if absent:
            raise CheckpointError(
                f'{filename} has no {", ".join(absent)}: training cannot be '
                'resumed from it. Resume from a file of a training run '
                '(epoch_*.pth, iter_*.pth), or start anew from these weights '
                'with load_from'
            )
        check_state(
            checkpoint, self._bare_model(), source=str(filename), **resumed
        )

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict | None = None,
        by_epoch: bool = True,
        backend_args: dict | None = None,
    ) -> None:
        """Save a checkpoint; the arguments are mmengine's.

        The metadata record the pretrained windows of a Swin V2, which belong
        to the weights. All processes call this method, and the main process
        writes. It first gathers the state of an optimizer that is split over
        the processes (`ZeroRedundancyOptimizer`).

        Raises:
            CheckpointError: If the file could not be read back.
        """
        optimizer = getattr(self.optim_wrapper, 'optimizer', None)
        gathers = save_optimizer and hasattr(
            optimizer, 'consolidate_state_dict'
        )
        if optimizer is not None and gathers:
            optimizer.consolidate_state_dict()
        self.accumulated_gradients = gather_gradients(
            self.model, self.optim_wrapper
        )
        if not is_main_process():
            return
        record = window_record(self._bare_model())
        if record:
            meta = with_record(meta or {}, record)
        rest = (
            file_client_args,
            save_optimizer,
            save_param_scheduler,
            meta,
            by_epoch,
            backend_args,
        )
        with _gathered(optimizer) if gathers else nullcontext():
            self._write_checkpoint(out_dir, filename, rest)

    def _write_checkpoint(
        self, out_dir: str, filename: str, rest: tuple
    ) -> None:
        """Write a file; keep it only if it can be read back and is finite.

        Raises:
            CheckpointError: If it cannot be read back.
            NonFiniteError: If weights or state of the optimizer in it are NaN
                or infinite.
        """
        if '://' in str(out_dir):  # other storage has its own guarantees
            super().save_checkpoint(out_dir, filename, *rest)
            return
        with replacing(Path(out_dir, filename)) as partial:
            super().save_checkpoint(out_dir, partial.name, *rest)
            try:
                saved = read_checkpoint(partial, mmap=True, check=False)
            except CheckpointError as error:
                raise CheckpointError(
                    f'checkpoint {filename} was not kept, since it could not '
                    f'be resumed from: {error}'
                ) from error
            check_saved(saved, filename, self.cfg.get('allow_nonfinite', ()))

    def _bare_model(self) -> nn.Module:
        """Return the model without wrappers for processes or views."""
        model = self.model
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        return model

    def _class_names(self) -> Sequence[str] | None:
        """Return the class names of the data set in use, None if unknown."""
        for loop in (self._train_loop, self._val_loop, self._test_loop):
            if isinstance(loop, BaseLoop):
                return class_names_of(loop.dataloader.dataset)
        return None
