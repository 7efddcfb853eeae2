"""Train the model of a config, or a recipe on your own data.

With --data, the classes are those of the data, and a config for them is
written into the work folder, to be changed and used again:

  swin-dense train mask_rcnn_swin_t --data train.json --val val.json
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from swin_dense.commands.check import CHECKS, run_preflight
from swin_dense.engine import cli
from swin_dense.engine.launch import (
    apply_command_line,
    build_runner,
    load_config,
)
from swin_dense.engine.own_data import (
    VAL_SHARE,
    Sources,
    Written,
    write_own_config,
)
from swin_dense.engine.run_log import foreign_warnings_to_file
from swin_dense.engine.trackers import TRACKERS, add_tracker
from swin_dense.engine.work_dir_lock import check_not_training
from swin_dense.preflight.results import FAILED


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(__doc__, 'swin-dense train cascade_swin_b_coco')
    cli.add_config_argument(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='auto|PATH',
        help='continue from the last checkpoint in the work folder, if it has '
        'checkpoints, or from a path',
    )
    parser.add_argument(
        '--copy-classes',
        action='store_true',
        help='copy weights of classes with the same name, if load_from is a '
        'checkpoint of other classes',
    )
    parser.add_argument(
        '--amp', action='store_true', help='train in mixed precision'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by batch size / reference batch size',
    )
    parser.add_argument(
        '--seed', type=int, help='seed of weights, sampling, augmentation'
    )
    parser.add_argument(
        '--deterministic',
        action='store_true',
        help='restrict cuDNN to deterministic algorithms',
    )
    parser.add_argument(
        '--tensorboard',
        action='store_true',
        help='also log for TensorBoard, into the log folder of the run',
    )
    parser.add_argument(
        '--wandb',
        action='store_true',
        help='also log to Weights & Biases, in the project swin_dense',
    )
    parser.add_argument(
        '--check',
        action='store_true',
        help='run all checks of `swin-dense check` first, and do not train '
        'if one fails',
    )
    parser.add_argument(
        '--plan',
        action='store_true',
        help='before the first step, run the largest batch once, and log '
        'whether it fits into memory',
    )
    parser.add_argument(
        '--accumulate-on-oom',
        action='store_true',
        help='if memory runs out in a step, go on with parts of the batch, '
        'whose gradients are added up',
    )
    cli.add_compile_argument(parser)
    cli.add_run_arguments(parser)
    add_data_arguments(parser)
    return parser


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that describe a user's own data."""
    group = parser.add_argument_group('your own data')
    group.add_argument(
        '--data',
        type=Path,
        metavar='TRAIN',
        help='data to train on: a COCO JSON file, a folder of label maps, or '
        'a folder or list of clips',
    )
    group.add_argument(
        '--val',
        type=Path,
        help='data of the same kind to validate with (default: a tenth of '
        'TRAIN is held out)',
    )
    group.add_argument(
        '--images',
        type=Path,
        metavar='DIR',
        help='folder of the images, or of the clips of a list (default: it '
        'is searched near TRAIN)',
    )
    group.add_argument(
        '--val-images', type=Path, metavar='DIR', help='the same for --val'
    )
    group.add_argument(
        '--classes',
        metavar='NAMES',
        help='class names in label order, separated by commas, or a text file '
        'with one per line (default: those of the data)',
    )
    group.add_argument(
        '--no-masks',
        action='store_true',
        help='train boxes alone, even if there are masks',
    )
    group.add_argument(
        '--val-share',
        type=float,
        metavar='SHARE',
        help='share of TRAIN that is held out without --val (default: 0.1)',
    )
    group.add_argument(
        '--epochs',
        type=int,
        help='passes over the data (default: those of the recipe, or more if '
        'there are few data)',
    )
    group.add_argument(
        '--batch-size',
        type=int,
        metavar='N',
        help="images or clips of a process in a step (default: the recipe's)",
    )
    group.add_argument(
        '--write-config',
        action='store_true',
        help='write the config and do not train, to look at the data first '
        '(swin-dense check, swin-dense browse) or to change it',
    )


def write_config(args: argparse.Namespace) -> Written | None:
    """Write the config for own data; return None if there are none.

    Raises:
        ValueError: If an option for own data is given without --data, or a
            number is too small.
    """
    if args.data is None:
        for name in (
            'val',
            'images',
            'val_images',
            'classes',
            'val_share',
            'epochs',
            'batch_size',
            'no_masks',
            'write_config',
        ):
            if getattr(args, name):
                option = f'--{name.replace("_", "-")}'
                raise ValueError(
                    f'{option} belongs to --data: name the training data, or '
                    f'leave {option} out and change the config'
                )
        return None
    for name in ('epochs', 'batch_size'):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ValueError(
                f'--{name.replace("_", "-")} {value} must be at least 1'
            )
    if args.val and args.val_share:
        raise ValueError('--val-share is for a training without --val')
    sources = Sources(
        data=args.data,
        val=args.val,
        images=args.images,
        val_images=args.val_images,
        classes=read_class_names(args.classes),
        val_share=args.val_share or VAL_SHARE,
        uses_masks=not args.no_masks,
    )
    written = write_own_config(
        args.config,
        sources,
        work_dir=args.work_dir,
        batch_size=args.batch_size,
        epochs=args.epochs,
        num_processes=_num_processes(args.launcher),
        command=args.command,
    )
    if os.environ.get('RANK', '0') == '0':
        print('\n'.join(written.notes))
    return written


def _num_processes(launcher: str) -> int:
    """Return the number of processes that a launcher has started."""
    name = 'SLURM_NTASKS' if launcher == 'slurm' else 'WORLD_SIZE'
    return int(os.environ.get(name, 1)) if launcher != 'none' else 1


def read_class_names(text: str | None) -> tuple[str, ...] | None:
    """Return class names that are separated by commas or in a text file."""
    if text is None:
        return None
    path = Path(text)
    if path.suffix == '.txt':
        names = path.read_text('utf-8-sig').splitlines()
    else:
        names = text.split(',')
    return tuple(name.strip() for name in names if name.strip())


def train(args: argparse.Namespace) -> int:
    """Train, then print the folder of logs and checkpoints."""
    written = write_config(args)
    if args.write_config:
        return 0
    runner: Any = None
    try:
        config = written.path if written else args.config
        cfg = load_config(config, args.cfg_options)
        if args.check and not passes(cfg, str(config), args):
            raise ValueError(
                'the checks before the training failed; see above. Correct '
                'what they name, or leave --check out'
            )
        with foreign_warnings_to_file():
            runner = _build(cfg, args)
            runner.train()
    except BaseException:
        if written and not getattr(runner, 'has_started', False):
            written.folder.remove()
        raise
    if runner.rank == 0:
        print(f'logs and checkpoints: {runner.work_dir}')
    return 0


def passes(cfg: Config, source: str, args: argparse.Namespace) -> bool:
    """Run all checks of a config; return False if one fails.

    Raises:
        ValueError: If there are several processes.
    """
    if args.launcher != 'none':
        raise ValueError(
            '--check is for a single process: run `swin-dense check` first'
        )
    if args.work_dir:
        cfg.work_dir = args.work_dir
    results = run_preflight(
        cfg, CHECKS, source=source, cfg_options=args.cfg_options
    )
    return all(result.status != FAILED for result in results)


def _build(cfg: Config, args: argparse.Namespace) -> Runner:
    """Return the runner of a config with the options of a command line."""
    # Fail early: the lock itself is taken when the training starts.
    check_not_training(args.work_dir or cfg.work_dir)
    apply_command_line(
        cfg,
        work_dir=args.work_dir,
        resume=args.resume,
        copy_classes=args.copy_classes,
        amp=args.amp,
        auto_scale_lr=args.auto_scale_lr,
        launcher=args.launcher,
        seed=args.seed,
        deterministic=args.deterministic,
        compile_backbone=args.compile,
    )
    for name in TRACKERS:
        if getattr(args, name):
            add_tracker(cfg, name)
    if args.plan or args.accumulate_on_oom:
        hook = dict(
            type='swin_dense.MemoryHook',
            plan=args.plan,
            accumulate=args.accumulate_on_oom,
        )
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), hook]
    runner = build_runner(cfg)
    runner.logs_load_lists = args.verbose
    return runner


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    words = [*(sys.argv[1:] if argv is None else argv)]
    args = make_parser().parse_args(words)
    args.command = ['swin-dense', 'train', *words]
    return cli.run(train, args)
