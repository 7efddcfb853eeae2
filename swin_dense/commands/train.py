"""Train the model of a config."""

import argparse
from collections.abc import Sequence

from swin_dense.engine import cli
from swin_dense.engine.launch import (
    apply_command_line,
    build_runner,
    load_config,
)
from swin_dense.engine.run_log import foreign_warnings_to_file
from swin_dense.engine.work_dir_lock import check_not_training


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
    cli.add_compile_argument(parser)
    cli.add_run_arguments(parser)
    return parser


def train(args: argparse.Namespace) -> int:
    """Train, then print the folder of logs and checkpoints."""
    cfg = load_config(args.config, args.cfg_options)
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
    with foreign_warnings_to_file():
        runner = build_runner(cfg)
        runner.logs_load_lists = args.verbose
        runner.train()
    if runner.rank == 0:
        print(f'logs and checkpoints: {runner.work_dir}')
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(train, make_parser().parse_args(argv))
