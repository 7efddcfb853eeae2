"""Train at a window, then use the weights at twice the window and image.

Swin V1 and V2 are trained on shapes at 128 pixels with windows of 4 tokens,
then evaluated at 256 pixels with windows of 8, at once and after a brief
training there. Each seed runs in a process of its own. What is finished is
not done again: after an interruption give the same command.
"""
import argparse
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Optional, Sequence

import torch
from mmengine.config import Config

from swin_dense.checkpoints.read import read_checkpoint
from swin_dense.checkpoints.resizing import resize_checkpoint
from swin_dense.checkpoints.write import write_checkpoint
from swin_dense.engine import cli
from swin_dense.engine.launch import build_runner, configure, load_config
from swin_dense.registry import DATASETS

HERE = Path(__file__).resolve().parent
SMALL = HERE / 'configs'
LARGE = HERE.parents[1] / 'configs'
MODELS = ('swin', 'swinv2')
TABLE = 'relative_position_bias_table'
METRICS = dict(box='coco/bbox_mAP', mask='coco/segm_mAP')
COLUMNS = ('128 px, as trained', '128 px', '256 px', '256 px, trained on')


class Way(NamedTuple):
    """How weights get to another window.

    Attributes:
        title: In the tables.
        model: `swin` or `swinv2`.
        window: New window in tokens.
        method: Of resizing bias tables; `none` sets them to zero.
        unit: Window that V2 is told to divide offsets by, where it is not
            that of its training.
    """
    title: str
    model: str
    window: int
    method: Optional[str] = None
    unit: Optional[int] = None

    @property
    def name(self) -> str:
        """For files."""
        parts = (self.model, f'w{self.window}', self.method, self.unit
                 and f'unit{self.unit}')
        return '_'.join(part for part in parts if part)


WAYS = (
    Way('V1, window 4 kept', 'swin', 4),
    Way('V1, tables set to zero', 'swin', 8, 'none'),
    Way('V1, bicubic', 'swin', 8, 'bicubic'),
    Way('V1, geometric', 'swin', 8, 'geometric'),
    Way('V2, window 4 kept', 'swinv2', 4),
    Way('V2, log-CPB', 'swinv2', 8),
    Way('V2, log-CPB, offsets over 7', 'swinv2', 8, unit=8),
)


class Plan(NamedTuple):
    """What all seeds have in common.

    Attributes:
        root: Folder of the results.
        iterations: Of the training at 128 pixels.
        brief: Of the training at 256 pixels.
        rate: Learning rate of the latter.
        threads: Of each process.
        options: Settings for all configs.
    """
    root: Path
    iterations: int
    brief: int
    rate: float
    threads: int
    options: Mapping[str, Any]


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.make_parser(__doc__, 'python projects/window_transfer/run.py')
    parser.add_argument(
        '--seeds',
        type=int,
        nargs='+',
        default=[0, 1],
        help='of the trainings (default: 0 1)')
    parser.add_argument(
        '--work-dir',
        default='work_dirs/window_transfer',
        help='folder for the results (default: work_dirs/window_transfer)')
    parser.add_argument(
        '--iterations',
        type=int,
        default=1300,
        help='of the training at 128 pixels (default: %(default)s)')
    parser.add_argument(
        '--brief',
        type=int,
        default=150,
        help='iterations of that at 256 pixels (default: %(default)s)')
    parser.add_argument(
        '--rate',
        type=float,
        default=2e-4,
        help='learning rate of that at 256 pixels, a fifth of that of the '
        'first by default (default: %(default)s)')
    parser.add_argument(
        '--processes',
        type=int,
        default=min(2,
                    os.cpu_count() or 1),
        help='seeds at a time (default here: %(default)s)')
    cli.add_config_arguments(parser)
    return parser


def transfer(args: argparse.Namespace) -> int:
    """Run all seeds, print the tables, write them and all figures."""
    threads = max(1, (os.cpu_count() or 1) // args.processes)
    plan = Plan(
        Path(args.work_dir), args.iterations, args.brief, args.rate, threads,
        args.cfg_options or {})
    # Drawn here, so that the processes do not do it twice.
    data = load_config(config_of('swin', SMALL), plan.options).train_dataloader
    DATASETS.build({**data.dataset, 'pipeline': []})
    with ProcessPoolExecutor(
            args.processes,
            mp_context=multiprocessing.get_context('spawn')) as pool:
        results = list(pool.map(partial(run_seed, plan), args.seeds))
    cli.write_json(plan.root / 'results.json',
                   dict(zip(map(str, args.seeds), results)))
    text = '\n\n'.join(
        f'{kind.capitalize()} AP:\n\n{format_table(results, metric)}'
        for kind, metric in METRICS.items())
    cli.write_bytes(plan.root / 'tables.md', f'{text}\n'.encode())
    print(f'\n{text}\n\n{plan.root / "tables.md"}')
    return 0


def run_seed(plan: Plan, seed: int) -> dict[str, dict[str, dict]]:
    """All trainings and evaluations of a seed.

    Returns:
        Metrics by title of the way and column.
    """
    torch.set_num_threads(plan.threads)
    folder = plan.root / f'seed_{seed}'
    weights = {
        model:
        train(plan, config_of(model, SMALL), folder / model, seed,
              plan.iterations)
        for model in MODELS
    }
    results: dict[str, dict[str, dict]] = {}
    for way in WAYS:
        small = config_of(way.model, SMALL)
        large = config_of(way.model, LARGE)
        options = {'model.backbone.window_size': way.window}
        if way.unit:
            options['model.backbone.pretrained_window_sizes'] = way.unit
        start = weights[way.model]
        if way.method:
            start = with_tables(start, way, folder / f'{way.name}.pth')
        place = folder / way.name
        done = train(plan, large, place / 'brief', seed, plan.brief, options,
                     dict(load_from=str(start)) | brief_schedule(plan))
        steps = (
            (small, weights[way.model], folder / way.model, {}),
            (small, start, place / '128', options),
            (large, start, place / '256', options),
            (large, done, place / '256_after', options),
        )
        results[way.title] = {
            column: evaluate(plan, *step)
            for column, step in zip(COLUMNS, steps)
        }
    return results


def config_of(model: str, folder: Path) -> Path:
    """The config of a model at 128 or 256 pixels."""
    suffix = '_128' if folder == SMALL else ''
    return folder / f'mask_rcnn_{model}_nano_shapes{suffix}.py'


def brief_schedule(plan: Plan) -> dict[str, Any]:
    """Settings of the training at 256 pixels: a short warm-up, a cosine."""
    warm_up = max(1, plan.brief // 10)
    first, second = 'param_scheduler.0.', 'param_scheduler.1.'
    return {
        'optim_wrapper.optimizer.lr': plan.rate,
        f'{first}end': warm_up,
        f'{second}begin': warm_up,
    }


def train(plan: Plan, config: Path, folder: Path, seed: int, iterations: int,
          *options: Mapping[str, Any]) -> Path:
    """Train unless that is done; the checkpoint of the end."""
    checkpoint = folder / f'iter_{iterations}.pth'
    if checkpoint.exists():
        return checkpoint
    cfg = make_config(plan, config, folder, *options)
    warm_up, cosine = cfg.param_scheduler
    cosine.update(end=iterations, T_max=max(1, iterations - warm_up.end))
    cfg.train_cfg.max_iters = iterations
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    configure(cfg, seed=seed)
    build_runner(cfg).train()
    return checkpoint


def evaluate(plan: Plan, config: Path, checkpoint: Path, folder: Path,
             options: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a checkpoint, measured unless that is done."""
    path = folder / 'metrics.json'
    if not path.exists():
        cfg = make_config(plan, config, folder, options)
        configure(cfg, load_from=str(checkpoint))
        cli.write_json(path, build_runner(cfg).test())
    return json.loads(path.read_text())


def make_config(plan: Plan, config: Path, folder: Path, *options:
                Mapping[str, Any]) -> Config:
    """A config whose runs have a name and folder of their own."""
    merged = dict(plan.options)
    for more in options:
        merged.update(more)
    cfg = load_config(config, merged)
    configure(cfg, work_dir=str(folder))
    cfg.experiment_name = '_'.join(folder.parts)
    return cfg


def with_tables(source: Path, way: Way, path: Path) -> Path:
    """A checkpoint with bias tables for another window."""
    if not path.exists():
        method = 'bicubic' if way.method == 'none' else str(way.method)
        resized = resize_checkpoint(
            read_checkpoint(source), [way.window], method=method)
        if way.method == 'none':
            for name, value in resized.checkpoint['state_dict'].items():
                if name.endswith(TABLE):
                    value.zero_()
        write_checkpoint(path, resized.checkpoint, resized.metadata)
    return path


def format_table(results: Sequence[Mapping[str, Mapping[str, Mapping]]],
                 metric: str) -> str:
    """Mean over the seeds, and half of the range, as Markdown."""
    lines = [
        '| weights | ' + ' | '.join(COLUMNS) + ' |',
        '| --- |' + ' --: |' * len(COLUMNS)
    ]
    for title in results[0]:
        cells = [title]
        for column in COLUMNS:
            values = [seed[title][column][metric] for seed in results]
            mean = sum(values) / len(values)
            spread = (max(values) - min(values)) / 2
            cells.append(f'{mean:.3f} ± {spread:.3f}')
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Parse and run."""
    return cli.run(transfer, make_parser().parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
