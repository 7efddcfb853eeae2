"""Compare a detector from scratch with one whose backbone was pretrained."""

import argparse
from pathlib import Path

from swin_dense.engine.compare_trainings import (
    Variant,
    check_arguments,
    compare,
    train,
)
from swin_dense.engine.launch import config_path, find_checkpoint, load_config


def add_pretraining_arguments(
    parser: argparse.ArgumentParser, *, config: str, pretraining: str
) -> None:
    """Add the arguments of `compare_pretraining`.

    Args:
        parser: The parser.
        config: Default config of the detector.
        pretraining: Default config of the pretraining.
    """
    parser.add_argument(
        '--config',
        default=config,
        help=f'detector that starts from scratch (default: {config})',
    )
    parser.add_argument(
        '--pretraining',
        default=pretraining,
        metavar='CONFIG',
        help='pretraining of the backbone, which runs unless its last '
        f'checkpoint exists (default: {pretraining})',
    )
    parser.add_argument(
        '--checkpoint',
        help='weights of the backbone, in place of a pretraining',
    )


def compare_pretraining(args: argparse.Namespace) -> int:
    """Compare a detector from scratch with one of a pretrained backbone.

    Raises:
        ValueError: If there are no processes.
        OSError: If a training fails.
    """
    check_arguments(args, args.config)
    if args.checkpoint:
        checkpoint = find_checkpoint(args.checkpoint)
    else:
        checkpoint = pretrain(args.pretraining)
    # It replaces what the config has, which may be None.
    init_cfg = dict(_delete_=True, type='Pretrained', checkpoint=checkpoint)
    scratch = Variant('from scratch', args.config)
    pretrained = Variant(
        'pretrained', args.config, {'model.backbone.init_cfg': init_cfg}
    )
    return compare([scratch, pretrained], args)


def pretrain(config: str) -> str:
    """Return the last checkpoint of a pretraining, which runs if it is absent.

    Args:
        config: Config of the pretraining, or its name.

    Raises:
        OSError: If the training fails.
    """
    cfg = load_config(config)
    folder = Path(cfg.work_dir)
    checkpoint = folder / f'iter_{cfg.train_cfg.max_iters}.pth'
    if not checkpoint.exists():
        seconds = train(config_path(config), 0, folder, {})
        print(f'pretraining: {seconds / 60:.1f} min', flush=True)
    return str(checkpoint)
