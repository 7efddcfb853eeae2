"""Say whether the training of a config fits into memory, and what would fit.

The largest batch that data and augmentation can give is predicted without a
run, and then run forward and backward once, unless it would not fit.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, MODELS, init_default_scope

from swin_dense.backbones.host_arguments import drop_pretrained
from swin_dense.engine import cli
from swin_dense.engine.largest_batch import find_largest_batch, padded
from swin_dense.engine.launch import load_config
from swin_dense.engine.memory_plan import make_plan, state_per_byte
from swin_dense.engine.tasks import DETECTION, VIDEO, Task, task_of
from swin_dense.engine.worst_batch import BatchSize

# Objects in an image, if neither data nor --objects say how many: images of
# COCO have up to 93.
OBJECTS = 100


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__, 'swin-dense plan mask_rcnn_swin_t_coco --shape 800 1333'
    )
    cli.add_config_argument(parser)
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        metavar='PIXELS',
        help='height and width of the largest image; for clips views, frames, '
        'height and width (default: found in the data set and the pipeline)',
    )
    parser.add_argument(
        '--objects',
        type=int,
        metavar='N',
        help='objects in each image of a detector (default: the most in the '
        f'data set; {OBJECTS} with --shape)',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        metavar='N',
        help="images or clips of a process in a step (default: the config's)",
    )
    parser.add_argument(
        '--no-run',
        action='store_true',
        help='predict alone; nothing is computed',
    )
    parser.add_argument(
        '--out', metavar='FILE.json', help='also write the plan as JSON'
    )
    cli.add_device_argument(parser)
    cli.add_config_arguments(parser)
    return parser


def plan(args: argparse.Namespace) -> int:
    """Print a plan; return 1 if the training does not fit."""
    device = args.device or get_device()
    cli.check_device(device)
    cfg = load_config(args.config, args.cfg_options)
    task = task_of(cfg)
    init_default_scope(cfg.default_scope)
    if args.batch_size is not None:
        cfg.train_dataloader.batch_size = args.batch_size
    size = batch_size(cfg, task, args.shape, args.objects)
    drop_pretrained(cfg.model)  # only sizes matter
    torch.manual_seed(0)
    model: Any = revert_sync_batchnorm(MODELS.build(cfg.model))
    # Some parameters of mmdet are uninitialised memory until then.
    model.init_weights()
    model = model.to(device)
    found = make_plan(
        model,
        task,
        size,
        device,
        state_per_byte(cfg.optim_wrapper.optimizer),
        runs=not args.no_run,
    )
    print(found.describe())
    if args.out:
        cli.write_json(args.out, found.to_dict())
    if found.fits:
        return 0
    print('\nThis training does not fit.')
    return 1


def batch_size(
    cfg: Config, task: Task, shape: list[int] | None, objects: int | None
) -> BatchSize:
    """Return the size of the largest batch, of the data or as given.

    Raises:
        ValueError: If a number is not positive, or if it is not the number
            of axes that the task needs.
    """
    images = cfg.train_dataloader.get('batch_size', 1)
    for name, values in (
        ('--shape', shape or ()),
        ('--objects', () if objects is None else (objects,)),
        ('--batch-size', (images,)),
    ):
        if any(value < 1 for value in values):
            raise ValueError(f'{name} must be positive')
    if shape is None:
        dataset: Any = DATASETS.build(cfg.train_dataloader.dataset)
        found = find_largest_batch(cfg, dataset)
        return found._replace(objects=objects) if objects else found
    axes = 4 if task is VIDEO else 2
    if len(shape) != axes:
        what = (
            'views, frames, height and width'
            if axes > 2
            else ('height and width')
        )
        raise ValueError(f'--shape takes {what}, got {shape}')
    if task is not VIDEO:
        shape = [
            *padded(
                (shape[0], shape[1]), cfg.model.get('data_preprocessor') or {}
            )
        ]
    count = (objects or OBJECTS) if task is DETECTION else 0
    return BatchSize(images, tuple(shape), count)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(plan, make_parser().parse_args(argv))
