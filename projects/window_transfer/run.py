"""Train with small windows, then use weights at twice the window and image.

Swin V1 and V2 are trained on shapes at 128 pixels with windows of 4 tokens,
then evaluated at 256 pixels with windows of 8, before and after a short
fine-tuning there. Each seed runs in its own process. To continue after an
interruption, repeat the command: finished steps are skipped.
"""

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config

from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.checkpoints.files.write import write_checkpoint
from swin_dense.checkpoints.resize import resize_checkpoint
from swin_dense.engine import cli
from swin_dense.engine.launch import (
    apply_command_line,
    build_runner,
    load_config,
)
from swin_dense.registry import DATASETS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
MODELS = {
    'V1': 'mask_rcnn_swin_nano_shapes',
    'V2': 'mask_rcnn_swinv2_nano_shapes',
}
TABLE = 'relative_position_bias_table'
METRIC = 'coco/bbox_mAP'
# Larger and fewer shapes than in the quick start: they stay large at half the
# image size.
SHAPES = dict(num_shapes=(2, 4), radius=(25, 60))
# Image and window: of the training, and of the use of its weights.
SMALL = (128, 4)
LARGE = (256, 8)
COLUMNS = ('128 px, as trained', '128 px', '256 px', '256 px, fine-tuned')


class Variant(NamedTuple):
    """A way to transfer weights to another window.

    Attributes:
        model: `V1` or `V2`.
        title: Title in the tables.
        window: New window in tokens.
        method: Method of resizing bias tables; `zero` sets them to zero.
    """

    model: str
    title: str
    window: int
    method: str | None = None


VARIANTS = (
    Variant('V1', 'V1, window 4 kept', 4),
    Variant('V1', 'V1, tables set to zero', 8, 'zero'),
    Variant('V1', 'V1, bicubic', 8, 'bicubic'),
    Variant('V1', 'V1, geometric', 8, 'geometric'),
    Variant('V2', 'V2, window 4 kept', 4),
    Variant('V2', 'V2, log-CPB', 8),
)


class Plan(NamedTuple):
    """Settings that all seeds share.

    Attributes:
        root: Folder of the results.
        iterations: Iterations of the training at 128 pixels.
        brief: Iterations of the fine-tuning at 256 pixels.
        rate: Learning rate of the fine-tuning.
        threads: Threads of each process.
        options: Settings for all configs.
    """

    root: Path
    iterations: int
    brief: int
    rate: float
    threads: int
    options: Mapping[str, Any]


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(__doc__, 'python projects/window_transfer/run.py')
    parser.add_argument(
        '--seeds',
        type=int,
        nargs='+',
        default=[0, 1],
        help='of the trainings (default: 0 1)',
    )
    parser.add_argument(
        '--work-dir',
        default='work_dirs/window_transfer',
        help='folder for the results (default: work_dirs/window_transfer)',
    )
    parser.add_argument(
        '--iterations',
        type=int,
        default=1000,
        help='of the training at 128 pixels (default: %(default)s)',
    )
    parser.add_argument(
        '--brief',
        type=int,
        default=80,
        help='iterations of that at 256 pixels (default: %(default)s)',
    )
    parser.add_argument(
        '--rate',
        type=float,
        default=2e-4,
        help='learning rate of that at 256 pixels, a fifth of that of the '
        'first by default (default: %(default)s)',
    )
    parser.add_argument(
        '--processes',
        type=int,
        default=min(2, os.cpu_count() or 1),
        help='seeds at a time (default here: %(default)s)',
    )
    cli.add_config_arguments(parser)
    return parser


def transfer(args: argparse.Namespace) -> int:
    """Run all seeds, then print and write the table and all metrics."""
    threads = max(1, torch.get_num_threads() // args.processes)
    plan = Plan(
        Path(args.work_dir),
        args.iterations,
        args.brief,
        args.rate,
        threads,
        args.cfg_options or {},
    )
    # Generate the data here, so that the processes do not do it twice.
    for loader in ('train_dataloader', 'test_dataloader'):
        data = make_config(plan, 'V1', *SMALL, plan.root)[loader].dataset
        DATASETS.build({**data, 'pipeline': []})
    run_one = partial(run_seed, plan)
    if args.processes == 1:
        results = [run_one(seed) for seed in args.seeds]
    else:
        spawn = multiprocessing.get_context('spawn')
        with ProcessPoolExecutor(args.processes, mp_context=spawn) as pool:
            results = list(pool.map(run_one, args.seeds))
    cli.write_json(
        plan.root / 'results.json', dict(zip(map(str, args.seeds), results))
    )
    table = format_table(results)
    cli.write_bytes(plan.root / 'table.md', f'{table}\n'.encode())
    print(f'\nBox AP:\n\n{table}\n\n{plan.root / "table.md"}')
    return 0


def run_seed(plan: Plan, seed: int) -> dict[str, dict[str, dict]]:
    """Run all trainings and evaluations of a seed.

    Returns:
        Metrics by title of the variant and column.
    """
    torch.set_num_threads(plan.threads)
    folder = plan.root / f'seed_{seed}'
    trained, before = {}, {}
    for model in MODELS:
        cfg = make_config(plan, model, *SMALL, folder / model)
        trained[model] = train(cfg, seed, plan.iterations)
        before[model] = evaluate(cfg, trained[model], 'metrics')
    results = {}
    for variant in VARIANTS:
        place = folder / variant.title.replace(', ', '_').replace(' ', '_')
        start = trained[variant.model]
        if variant.method:
            start = with_tables(start, variant, place / 'start.pth')
        small, large = (
            make_config(plan, variant.model, size, variant.window, place)
            for size, _ in (SMALL, LARGE)
        )
        measured = [
            before[variant.model],
            evaluate(small, start, 'small'),
            evaluate(large, start, 'large'),
        ]
        large.load_from = str(start)
        large.optim_wrapper.optimizer.lr = plan.rate
        done = train(large, seed, plan.brief)
        measured.append(evaluate(large, done, 'large_after'))
        results[variant.title] = dict(zip(COLUMNS, measured))
    return results


def make_config(
    plan: Plan, model: str, size: int, window: int, folder: Path
) -> Config:
    """Return the config of a quick start for a size of images and windows.

    The detector predicts only boxes, because masks would take a third more
    time. Anchors grow with the images.
    """
    cfg = load_config(
        CONFIGS / f'{MODELS[model]}.py',
        {
            'data_root': 'data/shapes_large/',
            'model.type': 'FasterRCNN',
            'model.roi_head.mask_head': None,
            'model.roi_head.mask_roi_extractor': None,
            'model.backbone.window_size': window,
            'model.rpn_head.anchor_generator.scales': [size // 32],
            'test_evaluator.metric': 'bbox',
            # The same for V1 and V2; their quick starts differ.
            'train_dataloader.batch_size': 4,
            'optim_wrapper.optimizer.lr': 1e-3,
            'param_scheduler.0.end': 100,
            **plan.options,
        },
    )
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader.dataset.generate.update(SHAPES)
    resize = dict(type='Resize', scale=(size, size), keep_ratio=True)
    load, annotations, *rest = cfg.train_dataloader.dataset.pipeline
    cfg.train_dataloader.dataset.pipeline = [load, annotations, resize, *rest]
    cfg.test_dataloader.dataset.pipeline[1] = resize
    apply_command_line(cfg, work_dir=str(folder))
    return cfg


def train(cfg: Config, seed: int, iterations: int) -> Path:
    """Train unless it is done, and return the path of the last checkpoint.

    The warm-up takes at most a tenth of the iterations, the cosine the rest.
    """
    checkpoint = Path(cfg.work_dir, f'iter_{iterations}.pth')
    if checkpoint.exists():
        return checkpoint
    cfg = named(cfg, 'train')
    warm_up, cosine = cfg.param_scheduler
    warm_up.end = max(1, min(warm_up.end, iterations // 10))
    cosine.update(
        begin=warm_up.end, end=iterations, T_max=iterations - warm_up.end
    )
    cfg.train_cfg.max_iters = iterations
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    apply_command_line(cfg, seed=seed)
    build_runner(cfg).train()
    return checkpoint


def evaluate(cfg: Config, checkpoint: Path, name: str) -> dict[str, float]:
    """Evaluate a checkpoint unless it is done, and return the metrics."""
    path = Path(cfg.work_dir, f'{name}.json')
    if not path.exists():
        cfg = named(cfg, name)
        apply_command_line(cfg, load_from=str(checkpoint))
        cli.write_json(path, build_runner(cfg).test())
    return json.loads(path.read_text())


def named(cfg: Config, name: str) -> Config:
    """Return a copy of a config with a unique name of the run."""
    cfg = Config(cfg.to_dict())
    cfg.experiment_name = '_'.join((*Path(cfg.work_dir).parts, name))
    return cfg


def with_tables(source: Path, variant: Variant, path: Path) -> Path:
    """Write a checkpoint with bias tables for another window."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        zero = variant.method == 'zero'
        resized = resize_checkpoint(
            read_checkpoint(source),
            [variant.window],
            method='bicubic' if zero else str(variant.method),
        )
        if zero:
            for name, value in resized.checkpoint['state_dict'].items():
                if name.endswith(TABLE):
                    value.zero_()
        write_checkpoint(path, resized.checkpoint, resized.metadata)
    return path


def format_table(
    results: Sequence[Mapping[str, Mapping[str, Mapping]]],
) -> str:
    """Return a Markdown table of the mean and half of the range over seeds."""
    lines = [
        '| weights | ' + ' | '.join(COLUMNS) + ' |',
        '| --- |' + ' --: |' * len(COLUMNS),
    ]
    for title in results[0]:
        cells = [title]
        for column in COLUMNS:
            values = [seed[title][column][METRIC] for seed in results]
            spread = f' ± {(max(values) - min(values)) / 2:.3f}'
            mean = f'{sum(values) / len(values):.3f}'
            cells.append(mean + (spread if len(values) > 1 else ''))
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run."""
    return cli.run(transfer, make_parser().parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
