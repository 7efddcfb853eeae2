"""Check the data sets of a config.

Annotations, label maps or clips are checked as before a training or a test.
All data sets of the config are checked, also after an error in one of them.
The exit status is 1 if there are problems.
"""

import argparse
import os
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from swin_dense.data.wrappers import check_mixing, inner_datasets, share_labels
from swin_dense.engine import cli
from swin_dense.engine.launch import load_config
from swin_dense.engine.tasks import task_of
from swin_dense.wording import counted

# Commands that check the data sets of a task; they also take folders and
# lists, for which there is no config.
CHECKS = {
    'segmentation': 'swin_dense.commands.check_label_maps',
    'video': 'swin_dense.commands.check_videos',
}
SPLITS = ('train', 'val', 'test')


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(__doc__, 'swin-dense check mask_rcnn_swin_t_coco')
    cli.add_config_argument(parser)
    cli.add_config_arguments(parser)
    return parser


def check(args: argparse.Namespace) -> int:
    """Check the data sets of a config; return 1 if there are problems.

    Raises:
        ValueError: If the config is a folder or a list of files.
    """
    suffix = os.path.splitext(args.config)[1]
    if os.path.isdir(args.config) or suffix in ('.txt', '.csv'):
        raise ValueError(
            f'{args.config} is not a config. `swin-dense check-label-maps` '
            'checks a folder of label maps, `swin-dense check-videos` a list '
            'or a folder of clips'
        )
    config = load_config(args.config, args.cfg_options)
    task = task_of(config)
    if task.name in CHECKS:
        command = import_module(CHECKS[task.name])
        options = command.make_parser().parse_args([args.config])
        options.cfg_options = args.cfg_options
        return command.check(options)
    problems = check_detection(config)
    print(counted(problems, 'problem'))
    return 1 if problems else 0


def check_detection(config: Config) -> int:
    """Check the data sets of a detector; print and count the problems.

    A data set stops at its first kind of problem, which lists all its cases.
    """
    init_default_scope(config.default_scope)
    built: dict[str, Any] = {}
    problems = 0
    checked: list[Any] = []
    for split in SPLITS:
        loader = config.get(f'{split}_dataloader') or {}
        settings = loader.get('dataset')
        if not settings or settings in checked:
            continue
        checked.append(settings)
        try:
            built[split] = DATASETS.build(settings)
            share_labels(built[split])
            if split == 'train':
                check_mixing(built[split])
            elif 'train' in built:
                check_classes(built['train'], built[split])
        except (ValueError, OSError) as error:
            problems += 1
            print(f'{split}: problem: {cli.printable(str(error))}')
    for split, dataset in built.items():
        unchecked = {
            type(inner).__name__
            for inner in inner_datasets(dataset)
            if not hasattr(inner, 'check_split')
        }
        for name in sorted(unchecked):
            print(
                f'{split}: note: {name} does not check annotations; use '
                'swin_dense.CheckedCocoDataset'
            )
    return problems


def check_classes(train: Any, other: Any) -> None:
    """Check that another data set names the classes of the training set.

    Raises:
        ValueError: If the class names or their orders differ.
    """
    first = inner_datasets(train)[0]
    for inner in inner_datasets(other):
        if hasattr(first, 'check_split') and hasattr(inner, 'categories'):
            first.check_split(inner)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(check, make_parser().parse_args(argv))
