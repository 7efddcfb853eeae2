"""Compare trainings that differ in one thing, with several seeds."""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from swin_dense.engine import cli
from swin_dense.engine.launch import config_path
from swin_dense.engine.training_curves import read_scalars
from swin_dense.files import read_json

METRICS = {'coco/bbox_mAP': 'box AP', 'coco/segm_mAP': 'mask AP'}


class Variant(NamedTuple):
    """A training that is compared with others.

    Attributes:
        name: Name in the table.
        config: Config file, or name of a config of this package.
        options: Settings to change by dotted names.
        nets: Evaluated nets, if the training has several: the first part of
            the names of their metrics.
    """

    name: str
    config: str
    options: Mapping[str, Any] = {}
    nets: Sequence[str] = ()

    @property
    def rows(self) -> dict[str, str]:
        """Prefix of the metrics by name of the row in the table."""
        if not self.nets:
            return {self.name: ''}
        return {f'{self.name}, {net}': f'{net}/' for net in self.nets}


def make_parser(
    description: str, example: str, *, work_dir: str
) -> argparse.ArgumentParser:
    """Return the parser of a command that compares.

    Args:
        description: What the command does.
        example: A command line to copy.
        work_dir: Default folder for the runs.
    """
    parser = cli.make_parser(description, example)
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


def compare(variants: Sequence[Variant], args: argparse.Namespace) -> int:
    """Run the trainings that have no result yet, and print the table.

    Results are written to `results.json` in the work folder.

    Args:
        variants: The trainings. Each runs with each seed.
        args: What the parser of `make_parser` returns.

    Raises:
        ValueError: If there are no processes.
        OSError: If a training fails.
    """
    check_arguments(args, *(variant.config for variant in variants))
    out = Path(args.work_dir, 'results.json')
    results = read_json(out) if out.exists() else []
    done = {(run['variant'], run['seed']) for run in results}
    jobs = [
        (variant, seed)
        for seed in dict.fromkeys(args.seeds)
        for variant in variants
        if (variant.name, seed) not in done
    ]

    def run(job: tuple[Variant, int]) -> dict[str, Any]:
        variant, seed = job
        name = variant.name.replace(' ', '_')
        folder = Path(args.work_dir, f'{name}_{seed}')
        options = {**variant.options, **(args.cfg_options or {})}
        seconds = train(
            config_path(variant.config), seed, folder, options, args.processes
        )
        print(
            f'{variant.name}, seed {seed}: {seconds / 60:.1f} min', flush=True
        )
        metrics = final_metrics(folder, variant.rows.values())
        return dict(
            variant=variant.name, seed=seed, seconds=seconds, **metrics
        )

    with ThreadPoolExecutor(args.processes) as pool:
        for result in pool.map(run, jobs):
            results.append(result)
            cli.write_json(out, results)
    print(make_table(variants, results))
    return 0


def check_arguments(args: argparse.Namespace, *configs: str) -> None:
    """Check the arguments, before minutes of training.

    Raises:
        FileNotFoundError: If a config does not exist.
        ValueError: If there are no processes.
    """
    if args.processes < 1:
        raise ValueError(f'--processes {args.processes} must be 1 or more')
    for config in configs:
        config_path(config)


def train(
    config: Path,
    seed: int,
    folder: Path,
    options: Mapping[str, Any],
    processes: int = 1,
) -> float:
    """Train once in a process of its own; return the seconds it took.

    An interrupted training goes on.

    Args:
        config: Config of the training.
        seed: Seed of the run.
        folder: Work folder of the run.
        options: Settings to change by dotted names.
        processes: Number of trainings that share the cores.

    Raises:
        OSError: If the training fails.
    """
    command = [sys.executable, '-m', 'swin_dense', 'train', str(config)]
    command += ['--seed', str(seed), '--work-dir', str(folder), '--resume']
    if options:
        command.append('--cfg-options')
        command += [f'{name}={value!r}' for name, value in options.items()]
    threads = max(1, (os.cpu_count() or 1) // processes)
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
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
    return round(time.perf_counter() - start, 1)


def final_metrics(
    folder: Path, prefixes: Iterable[str] = ('',)
) -> dict[str, float]:
    """Return the metrics of the last evaluation of a training.

    Args:
        folder: Work folder of the run.
        prefixes: What the names of the metrics begin with.

    Raises:
        OSError: If the training ended without these metrics.
    """
    rows = read_scalars(folder)
    last = rows[-1] if rows else {}
    names = [prefix + metric for prefix in prefixes for metric in METRICS]
    absent = [name for name in names if name not in last]
    if absent:
        raise OSError(f'the log in {folder} ends without {", ".join(absent)}')
    return {name: last[name] for name in names}


def make_table(
    variants: Sequence[Variant], results: Sequence[Mapping[str, Any]]
) -> str:
    """Return a table of mean and spread (largest - smallest) by variant."""
    names = [cell for name in METRICS.values() for cell in (name, 'spread')]
    lines = [
        f'| variant | seeds | {" | ".join(names)} |',
        '| --- ' + '| --: ' * (len(names) + 1) + '|',
    ]
    for variant in variants:
        runs = [run for run in results if run['variant'] == variant.name]
        for row, prefix in variant.rows.items() if runs else ():
            cells = [row, str(len(runs)), *metric_cells(runs, prefix)]
            lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def metric_cells(
    runs: Sequence[Mapping[str, Any]], prefix: str = ''
) -> list[str]:
    """Return mean and spread of each metric over some runs, for a table.

    Args:
        runs: Metrics of each run.
        prefix: What the names of the metrics begin with.
    """
    cells = []
    for metric in METRICS:
        values = [run[prefix + metric] for run in runs]
        cells.append(f'{mean(values):.3f}')
        cells.append(f'{max(values) - min(values):.3f}')
    return cells
