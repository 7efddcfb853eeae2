"""Read a config, apply the command line, build a runner for the machine."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.read import local_file
from swin_dense.config_files import (
    config_names,
    find_config,
    make_projects_importable,
)
from swin_dense.engine.cfg_options import apply_options
from swin_dense.engine.config_changes import describe_changes
from swin_dense.engine.resume import find_latest
from swin_dense.engine.tasks import find_task
from swin_dense.engine.work_dir_lock import check_not_training
from swin_dense.wording import counted, suggest_name

# Devices with mixed precision; on others, training runs in float32.
_AMP_DEVICES = ('cuda', 'npu', 'mlu', 'musa')


def load_config(
    path: str | Path, cfg_options: Mapping[str, Any] | None = None
) -> Config:
    """Read a config file and apply settings from the command line.

    Three settings that the hosts leave to their tools get defaults: the work
    folder is `work_dirs/<name of the config>`, the scope mmdet, and the
    runner `DenseRunner`.

    Args:
        path: A config file, or the name of a config of this package, with or
            without `.py`.
        cfg_options: Dotted names and values; see `apply_options`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the config is nested too deeply, or a setting is
            misspelt or would have no effect.
    """
    path = config_path(path)
    make_projects_importable()
    try:
        cfg = Config.fromfile(str(path))
    except RecursionError:
        raise ValueError(f'config {path} is nested too deeply') from None
    apply_options(cfg, cfg_options or {})
    if cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / path.stem)
    cfg.setdefault('default_scope', 'mmdet')
    cfg.setdefault('runner_type', 'swin_dense.DenseRunner')
    return cfg


def config_path(path: str | Path) -> Path:
    """Return the file of a config that is given by path or by name.

    Args:
        path: A config file, or the name of a config of this package.

    Raises:
        FileNotFoundError: If there is no such file and no such name.
    """
    path = Path(path)
    if path.is_file():
        return path
    recipe = find_config(str(path))
    if recipe:
        return recipe
    if len(path.parts) > 1 and path.parent.is_dir():
        names = [str(file) for file in path.parent.glob('*.py')]
    else:
        names = config_names()
    hint = suggest_name(str(path), names) if names else 'check the path'
    raise FileNotFoundError(f'config {path} does not exist; {hint}')


def apply_command_line(
    cfg: Config,
    *,
    work_dir: str | None = None,
    resume: str | None = None,
    load_from: str | None = None,
    copy_classes: bool = False,
    amp: bool = False,
    auto_scale_lr: bool = False,
    launcher: str = 'none',
    seed: int | None = None,
    deterministic: bool = False,
    compile_backbone: str | None = None,
) -> None:
    """Write the options of a command line into a config, in place.

    Args:
        cfg: The config.
        work_dir: Folder for logs and checkpoints.
        resume: A path to continue from; or 'auto' to continue from the work
            folder's last checkpoint. Without such a checkpoint, training
            starts from the config's `load_from`, if any.
        load_from: Checkpoint of the whole model to start from or to test.
        copy_classes: Copy the rows of classes of the same name if the
            checkpoint to start from has other classes.
        amp: Train in mixed precision.
        auto_scale_lr: Scale the learning rate by batch size / reference.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.
        seed: Seed of weights, order of images, and augmentation.
        deterministic: Let cuDNN use deterministic algorithms only.
        compile_backbone: Backend of `torch.compile` for the backbone.

    Raises:
        CheckpointError: If a checkpoint to load does not exist, or all
            checkpoints to resume from are damaged.
        WorkDirInUseError: If another process trains in the work folder that
            is to be resumed.
        ValueError: If this config or machine does not allow an option.
    """
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    if launcher != cfg.get('launcher', 'none'):
        cfg.launcher = launcher
    if load_from is not None:
        cfg.load_from = find_checkpoint(load_from)
    if compile_backbone is not None:
        cfg.compile_backbone = compile_backbone
    if copy_classes:
        if not cfg.get('load_from'):
            raise ValueError(
                '--copy-classes needs a checkpoint to copy from; add '
                '--cfg-options load_from=FILE'
            )
        cfg.copy_classes = True
    if resume is not None:
        auto = resume == 'auto'
        # A run that goes on would remove files while they are read.
        check_not_training(cfg.work_dir)
        source = (
            find_latest(Path(cfg.work_dir))
            if auto
            else find_checkpoint(resume)
        )
        if source or not cfg.get('load_from'):
            cfg.resume = True
            cfg.load_from = source and str(source)
    if amp:
        if get_device() not in _AMP_DEVICES:
            raise ValueError(
                '--amp needs a GPU, and PyTorch finds none here; leave it '
                'out to train in float32'
            )
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if auto_scale_lr:
        _enable_lr_scaling(cfg)
    if seed is not None or deterministic:
        randomness = cfg.get('randomness') or {}
        if seed is not None:
            randomness = {**randomness, 'seed': seed}
        cfg.randomness = {
            'seed': None,
            **randomness,
            'deterministic': deterministic,
        }


def enable_result_files(
    cfg: Config, prefix: str | None, format_only: bool = False
) -> None:
    """Let a test also write its detections as COCO result files, in place.

    Args:
        cfg: The config of a detector.
        prefix: Start of the names `PREFIX.bbox.json`, `PREFIX.segm.json`.
        format_only: Whether to write the files without scoring.

    Raises:
        ValueError: If there is no prefix, or the config's test evaluator is
            not a COCO metric.
    """
    if not prefix:
        raise ValueError(
            '--format-only writes files instead of scoring: add '
            '--results PREFIX to say which'
        )
    evaluator: Any = cfg.get('test_evaluator')
    has_type = isinstance(evaluator, Mapping) and 'type' in evaluator
    if not has_type or not str(evaluator.type).endswith('CocoMetric'):
        raise ValueError(
            '--results writes COCO result files, and the '
            "config's test_evaluator is not a CocoMetric"
        )
    Path(prefix).parent.mkdir(parents=True, exist_ok=True)
    evaluator.update(outfile_prefix=str(prefix), format_only=format_only)
    if format_only and 'Checked' in evaluator.type:
        # The test set may have been replaced by one without annotations;
        # this metric asks the set itself.
        evaluator.pop('ann_file', None)


def find_checkpoint(source: str) -> str:
    """Check that a checkpoint exists, before a model is built.

    Args:
        source: Path, or address starting with http://, https:// or file://.

    Returns:
        The path with `~` expanded, or the address, which is not opened.

    Raises:
        CheckpointError: If there is no such file, or it is an address of
            another scheme.
    """
    if source.startswith(('http://', 'https://')):
        return source
    path = Path(source).expanduser()
    if '://' in source or path.exists():
        return str(local_file(source))
    names = [str(file) for file in path.parent.glob('*.pth')]
    hint = (
        suggest_name(str(path), names)
        if names
        else f'{path.parent} holds no .pth file'
    )
    raise CheckpointError(f'checkpoint {path} does not exist; {hint}')


def build_runner(cfg: Config) -> Runner:
    """Build the runner of a config, for the machine it is on.

    Without a GPU, float32 replaces mixed precision, and gloo replaces NCCL.
    These are logged: such replacements, the differences to the config file,
    the batch beside the batch that the learning rate is meant for, and the
    number of views of each test video.
    """
    changes = _changes_of(cfg)
    notes = [f'Changed in the config: {changes}'] if changes else []
    notes += _fit_to_machine(cfg)
    runner = RUNNERS.build(cfg)
    notes.insert(0, f'Log, environment, config: {runner.logger.log_file}')
    if cfg.get('train_dataloader') and cfg.get('auto_scale_lr'):
        notes.append(_batch_note(cfg, runner.world_size))
    task = find_task(cfg)
    if cfg.get('test_dataloader') and task and task.views:
        count_views = task.load('views')
        views = count_views(cfg.test_dataloader.dataset.get('pipeline', ()))
        notes.append(f'Each video is tested by {views}')
    for note in notes:
        runner.logger.info(note)
    return runner


def _changes_of(cfg: Config) -> str:
    """Return the changes of a config since its file, '' without a file."""
    if not cfg.filename or not Path(cfg.filename).is_file():
        return ''
    return describe_changes(load_config(cfg.filename), cfg)


def _enable_lr_scaling(cfg: Config) -> None:
    if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
        raise ValueError(
            '--auto-scale-lr needs the batch size that the learning rate is '
            'meant for; add it to the config, such as '
            'auto_scale_lr=dict(base_batch_size=16)'
        )
    if cfg.optim_wrapper.get('accumulative_counts', 1) > 1:
        raise ValueError(
            '--auto-scale-lr would not count accumulative_counts='
            f'{cfg.optim_wrapper.accumulative_counts} into the batch; set '
            'optim_wrapper.optimizer.lr by hand'
        )
    cfg.auto_scale_lr.enable = True


def _fit_to_machine(cfg: Config) -> list[str]:
    """Replace settings that the machine cannot run; return lines to log."""
    notes = []
    wrapper: Any = cfg.get('optim_wrapper') or {}
    if (
        str(wrapper.get('type', '')).endswith('AmpOptimWrapper')
        and get_device() not in _AMP_DEVICES
    ):
        wrapper.type = 'OptimWrapper'
        for key in ('loss_scale', 'dtype', 'use_fsdp'):
            wrapper.pop(key, None)
        notes.append(
            'The config asks for mixed precision, which needs a GPU: '
            'training in float32'
        )
    if cfg.get('launcher', 'none') != 'none' and get_device() == 'cpu':
        _join_processes(cfg)
        notes.append('No GPU: the processes communicate over gloo')
    return notes


def _join_processes(cfg: Config) -> None:
    """Start a group of CPU processes; mmengine's way needs CUDA.

    Raises:
        ValueError: If torchrun did not start the processes.
    """
    if cfg.launcher != 'pytorch' or 'RANK' not in os.environ:
        raise ValueError(
            f'--launcher {cfg.launcher} without a GPU: start the processes '
            'by `torchrun -m swin_dense train CONFIG --launcher pytorch` or '
            'tools/dist_train.sh'
        )
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    cfg.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'device_ids': None,
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **(cfg.get('model_wrapper_cfg') or {}),
    }


def _batch_note(cfg: Config, world_size: int) -> str:
    """Compare the batch per update with the one of the learning rate."""
    per_step = cfg.train_dataloader.get('batch_size', 1)
    task = find_task(cfg)
    noun = task.unit.removesuffix('s') if task else 'image'
    steps = (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    batch, base = (
        world_size * per_step * steps,
        cfg.auto_scale_lr.get('base_batch_size'),
    )
    note = (
        f'Batch of {counted(batch, noun)} per update '
        f'({counted(world_size, "process", "processes")} x '
        f'{counted(per_step, noun)} x {counted(steps, "step")}); the '
        f'learning rate is meant for {base}'
    )
    if batch == base or base is None:
        return note
    if cfg.auto_scale_lr.get('enable'):
        return f'{note} and is scaled by {batch / base:g}'
    return f'{note} and is NOT scaled: --auto-scale-lr does'
