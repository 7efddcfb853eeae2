"""Compare trainings from scratch and from a pretrained checkpoint."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any

from swin_dense.engine import cli
from swin_dense.engine.launch import config_path, find_checkpoint
from swin_dense.files import read_json

SCRATCH, PRETRAINED = 'from scratch', 'pretrained'
METRICS = {'coco/bbox_mAP': 'box AP', 'coco/segm_mAP': 'mask AP'}


def make_parser(
    description: str,
    example: str,
    *,
    config: str,
    checkpoint: str,
    work_dir: str,
) -> argparse.ArgumentParser:
    """Return the parser of a command that compares.

    Args:
        description: What the command does.
        example: A command line to copy.
        config: Default config of the detector, which starts from scratch.
        checkpoint: Default checkpoint of the pretraining.
        work_dir: Default folder for the runs.
    """
    parser = cli.make_parser(description, example)
    parser.add_argument(
        '--config',
        default=config,
        help=f'detector that starts from scratch (default: {config})',
    )
    parser.add_argument(
        '--checkpoint',
        default=checkpoint,
        help=f'weights of the backbone (default: {checkpoint})',
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument(
        '--processes',
        type=int,
        default=2,
        help='trainings at the same time (default: 2)',
    )
    parser.add_argument('--work-dir', default=work_dir, metavar='DIR')
    cli.add_config_arguments(parser)
    return parser


def compare(args: argparse.Namespace) -> int:
    """Run the trainings that have no result yet, and print the table.

    Raises:
        ValueError: If there are no seeds or processes.
        OSError: If a training fails.
    """
    if args.processes < 1:
        raise ValueError(f'--processes {args.processes} must be 1 or more')
    config = config_path(args.config)
    checkpoint = find_checkpoint(args.checkpoint)
    out = Path(args.work_dir, 'results.json')
    results = read_json(out) if out.exists() else []
    done = {(run['variant'], run['seed']) for run in results}
    jobs = [
        (variant, seed)
        for seed in dict.fromkeys(args.seeds)
        for variant in (SCRATCH, PRETRAINED)
        if (variant, seed) not in done
    ]

    def run(job: tuple[str, int]) -> dict[str, Any]:
        variant, seed = job
        options = dict(args.cfg_options or {})
        if variant == PRETRAINED:
            options['model.backbone.init_cfg'] = dict(
                type='Pretrained', checkpoint=checkpoint
            )
        folder = Path(args.work_dir, f'{variant.replace(" ", "_")}_{seed}')
        values = train(config, seed, folder, options, args.processes)
        return dict(values, variant=variant, seed=seed)

    with ThreadPoolExecutor(args.processes) as pool:
        for result in pool.map(run, jobs):
            results.append(result)
            cli.write_json(out, results)
    print(make_table(results))
    return 0


def train(
    config: Path,
    seed: int,
    folder: Path,
    options: Mapping[str, Any],
    processes: int = 1,
) -> dict[str, float]:
    """Train once in a process of its own; return the final metrics.

    Args:
        config: Config of the detector.
        seed: Seed of the run.
        folder: Work folder of the run.
        options: Settings to change by dotted names.
        processes: Number of trainings that share the cores.

    Raises:
        OSError: If the training fails or ends without metrics.
    """
    command = [sys.executable, '-m', 'swin_dense', 'train', str(config)]
    command += ['--seed', str(seed), '--work-dir', str(folder)]
    if options:
        command.append('--cfg-options')
        command += [f'{name}={value!r}' for name, value in options.items()]
    threads = max(1, (os.cpu_count() or 1) // processes)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / 'output.txt', 'w') as output:
        status = subprocess.run(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, 'OMP_NUM_THREADS': str(threads)},
        ).returncode
    if status:
        raise OSError(
            f'the training in {folder} ended with status {status}; its '
            f'output is in {folder / "output.txt"}'
        )
    logs = sorted(folder.glob('*/vis_data/scalars.json'))
    lines = [json.loads(line) for line in logs[-1].read_text().splitlines()]
    found = {name: lines[-1].get(name) for name in METRICS}
    if None in found.values():
        raise OSError(f'{logs[-1]} ends without {", ".join(METRICS)}')
    return found


def make_table(results: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of mean and spread (largest - smallest) by variant."""
    names = [cell for name in METRICS.values() for cell in (name, 'spread')]
    lines = [
        f'| variant | seeds | {" | ".join(names)} |',
        '| --- ' + '| --: ' * (len(names) + 1) + '|',
    ]
    for variant in (SCRATCH, PRETRAINED):
        runs = [run for run in results if run['variant'] == variant]
        if not runs:
            continue
        cells = [variant, str(len(runs))]
        for metric in METRICS:
            values = [run[metric] for run in runs]
            cells.append(f'{mean(values):.3f}')
            cells.append(f'{max(values) - min(values):.3f}')
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)
